/* A stand-in for libdcmi.so that answers from the environment variable DCMI_SCENARIO.
 *
 * The scenario is `key=value;key=value`. A value may be a list `a,b,c`: each call takes the next one,
 * and the last one stays. `power.1` is of the chip with logic id 1, `power` of all others. `FUNCTION=code` lets a function fail, such as `dcmi_init=-8020`.
 * Declarations follow the DCMI API reference; WITHOUT_FREQUENCY makes the library of an old driver.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_KEYS 64

struct hbm_info {
    unsigned long long memory_size;
    unsigned int freq;
    unsigned long long memory_usage;
    int temp;
    unsigned int bandwith_util_rate;
};

struct chip_info {
    unsigned char chip_type[32];
    unsigned char chip_name[32];
    unsigned char chip_ver[32];
    unsigned int aicore_cnt;
};

struct process_info {
    int proc_id;
    unsigned long proc_mem_usage;
};

static struct {
    char key[64];
    int calls;
} counters[MOST_KEYS];

static int calls_of(const char *key)
{
    for (int i = 0; i < MOST_KEYS; i++) {
        if (counters[i].key[0] == 0)
            strncpy(counters[i].key, key, sizeof counters[i].key - 1);
        if (strcmp(counters[i].key, key) == 0)
            return counters[i].calls++;
    }
    return 0;
}

/* Return the text of a key's value for this call, or NULL. */
static const char *text(const char *key)
{
    static char found[256];
    const char *scenario = getenv("DCMI_SCENARIO");
    size_t length = strlen(key);
    for (const char *at = scenario; at && *at; at = strchr(at, ';') ? strchr(at, ';') + 1 : NULL) {
        if (strncmp(at, key, length) != 0 || at[length] != '=')
            continue;
        at += length + 1;
        for (int call = calls_of(key); call > 0; call--) {
            size_t here = strcspn(at, ",;");
            if (at[here] != ',')
                break;
            at += here + 1;
        }
        size_t size = strcspn(at, ",;");
        if (size >= sizeof found)
            size = sizeof found - 1;
        memcpy(found, at, size);
        found[size] = 0;
        return found;
    }
    return NULL;
}

static long long number(const char *key, long long otherwise)
{
    const char *value = text(key);
    return value ? atoll(value) : otherwise;
}

static long long number_of(const char *key, int card, int chip, long long otherwise)
{
    char own[64];
    snprintf(own, sizeof own, "%s.%d", key, card * (int)number("chips", 1) + chip);
    const char *value = text(own);
    return value ? atoll(value) : number(key, otherwise);
}

static int code(const char *function) { return (int)number(function, 0); }

/* Whoever finds this symbol does not read a real chip. */
const char *dcmi_simulator(void) { return "simulated"; }

int dcmi_init(void) { return code(__func__); }

int dcmi_get_driver_version(char *version, unsigned int length)
{
    const char *value = text("driver");
    snprintf(version, length, "%s", value ? value : "25.2.1");
    return code(__func__);
}

int dcmi_get_card_list(int *count, int *cards, int length)
{
    *count = (int)number("cards", 1);
    for (int i = 0; i < *count && i < length; i++)
        cards[i] = i;
    return code(__func__);
}

int dcmi_get_device_id_in_card(int card, int *most, int *mcu, int *cpu)
{
    (void)card;
    *most = (int)number("chips", 1);
    *mcu = *most;
    *cpu = -1;
    return code(__func__);
}

int dcmi_get_device_logic_id(int *logic, int card, int chip)
{
    *logic = card * (int)number("chips", 1) + chip;
    return code(__func__);
}

int dcmi_get_device_chip_info(int card, int chip, struct chip_info *info)
{
    (void)card, (void)chip;
    const char *name = text("name");
    snprintf((char *)info->chip_name, sizeof info->chip_name, "%s", name ? name : "910B2");
    return code(__func__);
}

int dcmi_get_device_health(int card, int chip, unsigned int *health)
{
    (void)card, (void)chip;
    *health = (unsigned int)number("health", 0);
    return code(__func__);
}

int dcmi_get_device_power_info(int card, int chip, int *power)
{
    *power = (int)number_of("power", card, chip, 934);
    return code(__func__);
}

int dcmi_get_device_temperature(int card, int chip, int *temperature)
{
    (void)card, (void)chip;
    *temperature = (int)number("temperature", 46);
    return code(__func__);
}

int dcmi_get_device_utilization_rate(int card, int chip, int kind, unsigned int *rate)
{
    *rate = kind == 2 ? (unsigned int)number_of("aicore", card, chip, 0) : 0;
    return code(__func__);
}

#ifndef WITHOUT_FREQUENCY
int dcmi_get_device_frequency(int card, int chip, int kind, unsigned int *frequency)
{
    (void)card, (void)chip;
    *frequency = (unsigned int)(kind == 7 ? number("clock", 1800) : number("rated", 1800));
    return code(__func__);
}
#endif

int dcmi_get_device_hbm_info(int card, int chip, struct hbm_info *info)
{
    (void)card, (void)chip;
    info->memory_size = (unsigned long long)number("hbm", 65536);
    info->memory_usage = (unsigned long long)number("hbm_used", 3373);
    info->freq = 1600;
    info->temp = 44;
    info->bandwith_util_rate = (unsigned int)number("bandwidth", 0);
    return code(__func__);
}

int dcmi_get_device_resource_info(int card, int chip, struct process_info *table, int *count)
{
    (void)card, (void)chip;
    *count = (int)number("processes", 0);
    for (int i = 0; i < *count; i++) {
        table[i].proc_id = 1000 + i;
        table[i].proc_mem_usage = 1ul << 30;
    }
    return code(__func__);
}
