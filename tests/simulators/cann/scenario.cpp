// Reads the scenario: variables named CANN_SIM_…, or lines NAME=VALUE of the file CANN_SIM_FILE.
//
//   CANN_SIM_CHIP      Ascend910B1 … Ascend910B4, Ascend910_9392 (one die of a 910C), Ascend310P3; Ascend910B2
//   CANN_SIM_DEVICES   how many there are; 1
//   CANN_SIM_MEMORY    MiB of each; the chip's own
//   CANN_SIM_L2        MiB of its last-level cache; 192
//   CANN_SIM_VERSION   of CANN; 9.1.0
//   CANN_SIM_DRIVER    version of the driver; 25.5.0
//   CANN_SIM_FAULTS    OPERATOR:FAULT[@N],… from its Nth execution on (1): fail, hang, wrong,
//                      out_of_memory, lost (the whole device, until the process ends); aclrtSetDevice:fail
//                      is a device that another process holds
//   CANN_SIM_CALLS     a file that gets the name of each operator that is executed, and aclrtSetDevice:N
//                      for each device that is set
//
// What the sensors say over time, utilization, power, temperature and clock, is in DCMI_SCENARIO, which
// ../dcmi/dcmi.c describes.
#include "scenario.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <sstream>

namespace simulator {
namespace {

// Cube peaks as backends/chips has them, with their sources.
constexpr Chip CHIPS[] = {
    {"Ascend910B1", 363.7248, 1600, 24, 64},      {"Ascend910B2", 353.8944, 1600, 24, 64},
    {"Ascend910B2C", 353.8944, 1600, 24, 64},     {"Ascend910B3", 294.912, 1600, 20, 64},
    {"Ascend910B4", 245.76, 800, 20, 32},         {"Ascend910B4-1", 245.76, 1600, 20, 64},
    {"Ascend310P3", 69.5, 204.8, 8, 24},
    {"Ascend910_9391", 363.7248, 1600, 24, 64},   {"Ascend910_9392", 363.7248, 1600, 24, 64},
};

const std::map<std::string, Fault> FAULTS = {
    {"fail", Fault::fail},
    {"hang", Fault::hang},
    {"wrong", Fault::wrong},
    {"out_of_memory", Fault::out_of_memory},
    {"lost", Fault::lost},
};

[[noreturn]] void refuse(const std::string &text) {
    std::fprintf(stderr, "CANN simulator: %s\n", text.c_str());
    std::exit(97);
}

std::map<std::string, std::string> read_file() {
    std::map<std::string, std::string> values;
    const char *path = std::getenv("CANN_SIM_FILE");
    if (path == nullptr) return values;
    std::ifstream file(path);
    if (!file) refuse(std::string("cannot read ") + path);
    for (std::string line; std::getline(file, line);) {
        auto equals = line.find('=');
        if (line.empty() || line[0] == '#') continue;
        if (equals == std::string::npos) refuse("no NAME=VALUE: " + line);
        values[line.substr(0, equals)] = line.substr(equals + 1);
    }
    return values;
}

Chip find_chip(const std::string &name) {
    for (const Chip &chip : CHIPS)
        if (name == chip.name) return chip;
    refuse("CANN_SIM_CHIP: unknown chip " + name);
}

std::vector<PlannedFault> parse_faults(const std::string &text) {
    std::vector<PlannedFault> faults;
    std::stringstream parts(text);
    for (std::string part; std::getline(parts, part, ',');) {
        auto colon = part.find(':'), at = part.find('@');
        auto known = colon == std::string::npos
                         ? FAULTS.end()
                         : FAULTS.find(part.substr(colon + 1, at - colon - 1));
        if (known == FAULTS.end()) refuse("CANN_SIM_FAULTS: not OPERATOR:FAULT[@N]: " + part);
        int from = at == std::string::npos ? 1 : std::atoi(part.c_str() + at + 1);
        faults.push_back({part.substr(0, colon), known->second, from});
    }
    return faults;
}

// CANN shows the devices of ASCEND_RT_VISIBLE_DEVICES only, up to the first that is not there.
int visible(int present) {
    const char *wanted = std::getenv("ASCEND_RT_VISIBLE_DEVICES");
    if (wanted == nullptr) return present;
    int count = 0;
    std::stringstream parts(wanted);
    for (std::string part; std::getline(parts, part, ','); ++count)
        if (part.empty() || std::atoi(part.c_str()) >= present) break;
    return count;
}

Scenario read_scenario() {
    auto file = read_file();
    auto value = [&](const char *name, const char *otherwise) -> std::string {
        if (const char *set = std::getenv(name)) return set;
        return file.count(name) ? file[name] : otherwise;
    };
    Scenario read;
    read.chip = find_chip(value("CANN_SIM_CHIP", "Ascend910B2"));
    read.devices = visible(std::atoi(value("CANN_SIM_DEVICES", "1").c_str()));
    auto mib = value("CANN_SIM_MEMORY", std::to_string(read.chip.memory_gib << 10).c_str());
    read.memory_bytes = std::strtoull(mib.c_str(), nullptr, 10) << 20;
    read.cache_bytes = std::strtoull(value("CANN_SIM_L2", "192").c_str(), nullptr, 10) << 20;
    read.cann_version = value("CANN_SIM_VERSION", "9.1.0");
    read.driver_version = value("CANN_SIM_DRIVER", "25.5.0");
    read.faults = parse_faults(value("CANN_SIM_FAULTS", ""));
    read.calls_file = value("CANN_SIM_CALLS", "");
    return read;
}

std::mutex lock;

}  // namespace

const Scenario &scenario() {
    static const Scenario read = read_scenario();
    return read;
}

Fault fault_at(const char *op) {
    static std::map<std::string, int> executions;
    if (scenario().faults.empty()) return Fault::none;
    std::lock_guard<std::mutex> guard(lock);
    int count = ++executions[op];
    for (const PlannedFault &planned : scenario().faults)
        if (planned.op == op && count >= planned.from) return planned.fault;
    return Fault::none;
}

void note_call(const char *op) {
    static std::set<std::string> noted;
    if (scenario().calls_file.empty()) return;
    std::lock_guard<std::mutex> guard(lock);
    if (noted.insert(op).second) std::ofstream(scenario().calls_file, std::ios::app) << op << "\n";
}

}  // namespace simulator
