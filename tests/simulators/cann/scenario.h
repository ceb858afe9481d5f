// What is simulated: which chip, how many, and what goes wrong.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace simulator {

struct Chip {
    const char *name;
    double cube_tflops;  // dense float16; others follow from it
    double hbm_gbps;
    int cube_cores;
    size_t memory_gib;
};

// What is to happen at the nth execution of an operator, and at every one after it.
enum class Fault { none, fail, hang, wrong, out_of_memory, lost };

struct PlannedFault {
    std::string op;
    Fault fault;
    int from;
};

struct Scenario {
    Chip chip;
    int devices;
    size_t memory_bytes;
    size_t cache_bytes;
    std::string cann_version;
    std::string driver_version;
    std::vector<PlannedFault> faults;
    std::string calls_file;
};

// The scenario of this process: the environment's, CANN_SIM_FILE's where a variable is not set.
const Scenario &scenario();

// Counts an execution, and returns what the scenario has planned for it.
Fault fault_at(const char *op);

// Appends an operator's name to the file of calls, once a process.
void note_call(const char *op);

}  // namespace simulator
