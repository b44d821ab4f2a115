/* A libnvidia-ml.so.1 without a driver behind it.

   It answers from a text file named by FAKE_NVML, read anew on every call, so that a test changes a
   figure, loses a GPU or unloads the driver by replacing the file. One `key = value` a line;
   `[gpu]` begins a GPU, `[mig]` a MIG slice of the GPU above it:

       init = 9                              nvmlInit returns this nvmlReturn_t
       every = 1                             every other call does
       missing = nvmlDeviceGetTemperatureV   an older driver: this function is not there; repeatable
       [gpu]
       uuid = GPU-00000000-0000-0000-0000-000000000000
       name = NVIDIA H200
       utilization = 97                      %
       memory_total = 150754820096           bytes
       memory_used = 40000000000
       memory_reserved = 600000000           version 1 of the memory call counts it as used
       temperature = 61                      °C
       power = 512000                        mW
       power_limit = 700000
       mig_mode = 1                          the board is in MIG mode
       pci_bus = 101                         its bus, in domain 0, device 0
       error = 15                            every call on this GPU returns this nvmlReturn_t
       [mig]
       mig_index = 2                         its place among the slices of its board; there may be gaps
       gpu_instance = 7
       compute_instance = 0

   A quantity that is not given is not supported. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6,
       INSUFFICIENT_SIZE = 7, FUNCTION_NOT_FOUND = 13, VERSION_MISMATCH = 25 };
enum { GPUS = 16, KEYS = 16, MISSING = 8, TEXT = 96 };

typedef int nvmlReturn_t;

struct device {
    int is_mig, index, parent;
    int keys;
    char key[KEYS][24], value[KEYS][TEXT];
};

static struct {
    int init, every, missing_count, count;
    char missing[MISSING][TEXT];
    struct device device[GPUS];
} world;

/* Handles are addresses in here: they outlive every reading of the file. */
static char handles[GPUS];
static int initialized;

static void read_world(void) {
    memset(&world, 0, sizeof world);
    const char *path = getenv("FAKE_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file) return;
    struct device *device = NULL;
    int gpus = 0, slices = 0, board = -1;
    char line[256], key[24], value[TEXT];
    while (fgets(line, sizeof line, file)) {
        int gpu = strncmp(line, "[gpu]", 5) == 0, mig = strncmp(line, "[mig]", 5) == 0;
        if ((gpu || mig) && world.count < GPUS) {
            device = &world.device[world.count];
            device->is_mig = mig;
            if (gpu) { board = world.count; slices = 0; }
            device->index = gpu ? gpus++ : slices++;
            device->parent = board;
            world.count++;
        } else if (sscanf(line, " %23[^ =] = %95[^\n]", key, value) == 2) {
            if (device && device->keys < KEYS) {
                strcpy(device->key[device->keys], key);
                strcpy(device->value[device->keys++], value);
            } else if (!strcmp(key, "init")) world.init = atoi(value);
            else if (!strcmp(key, "every")) world.every = atoi(value);
            else if (!strcmp(key, "missing") && world.missing_count < MISSING)
                strcpy(world.missing[world.missing_count++], value);
        }
    }
    fclose(file);
}

static nvmlReturn_t enter(const char *function) {
    read_world();
    for (int i = 0; i < world.missing_count; i++)
        if (!strcmp(world.missing[i], function)) return FUNCTION_NOT_FOUND;
    return !initialized ? UNINITIALIZED : world.every;
}

static const char *text_of(const struct device *device, const char *key) {
    for (int i = 0; i < device->keys; i++)
        if (!strcmp(device->key[i], key)) return device->value[i];
    return NULL;
}

static nvmlReturn_t enter_device(const char *function, void *handle, struct device **device) {
    nvmlReturn_t error = enter(function);
    long i = (char *)handle - handles;
    if (error) return error;
    if (i < 0 || i >= world.count) return INVALID_ARGUMENT;
    *device = &world.device[i];
    const char *lost = text_of(*device, "error");
    return lost ? atoi(lost) : SUCCESS;
}

static nvmlReturn_t number(const char *function, void *handle, const char *key,
                           unsigned long long *out) {
    struct device *device;
    nvmlReturn_t error = enter_device(function, handle, &device);
    const char *text = error ? NULL : text_of(device, key);
    if (error) return error;
    if (!text) return NOT_SUPPORTED;
    *out = strtoull(text, NULL, 10);
    return SUCCESS;
}

static nvmlReturn_t string(const char *function, void *handle, const char *key, char *out,
                           unsigned size) {
    struct device *device;
    nvmlReturn_t error = enter_device(function, handle, &device);
    const char *text = error ? NULL : text_of(device, key);
    if (error) return error;
    if (!text) return NOT_SUPPORTED;
    if (strlen(text) >= size) return INSUFFICIENT_SIZE;
    strcpy(out, text);
    return SUCCESS;
}

static nvmlReturn_t small_number(const char *function, void *handle, const char *key,
                                 unsigned *out) {
    unsigned long long value;
    nvmlReturn_t error = number(function, handle, key, &value);
    if (!error) *out = (unsigned)value;
    return error;
}

nvmlReturn_t nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    read_world();
    if (!world.init) initialized++;
    return world.init;
}

nvmlReturn_t nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

nvmlReturn_t nvmlInit(void) { return nvmlInitWithFlags(0); }

nvmlReturn_t nvmlShutdown(void) {
    if (!initialized) return UNINITIALIZED;
    initialized--;
    return SUCCESS;
}

const char *nvmlErrorString(nvmlReturn_t result) {
    return result == 9 ? "Driver Not Loaded" : result == 15 ? "GPU is lost" : "a fake NVML's error";
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *out, unsigned size) {
    nvmlReturn_t error = enter(__func__);
    if (!error) snprintf(out, size, "580.00.00");
    return error;
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count) {
    nvmlReturn_t error = enter(__func__);
    if (error) return error;
    *count = 0;
    for (int i = 0; i < world.count; i++) *count += !world.device[i].is_mig;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    nvmlReturn_t error = enter(__func__);
    if (error) return error;
    for (int i = 0; i < world.count; i++)
        if (!world.device[i].is_mig && world.device[i].index == (int)index) {
            *handle = handles + i;
            struct device *device;
            return enter_device(__func__, *handle, &device);
        }
    return INVALID_ARGUMENT;
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    nvmlReturn_t error = enter(__func__);
    if (error) return error;
    for (int i = 0; i < world.count; i++) {
        const char *own = text_of(&world.device[i], "uuid");
        if (own && !strcmp(own, uuid)) { *handle = handles + i; return SUCCESS; }
    }
    return NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetDeviceHandleFromMigDeviceHandle(void *handle, void **board) {
    struct device *device;
    nvmlReturn_t error = enter_device(__func__, handle, &device);
    if (error) return error;
    if (!device->is_mig) return INVALID_ARGUMENT;
    *board = handles + device->parent;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetIndex(void *handle, unsigned *index) {
    struct device *device;
    nvmlReturn_t error = enter_device(__func__, handle, &device);
    if (!error) *index = (unsigned)device->index;
    return error;
}

nvmlReturn_t nvmlDeviceGetName(void *handle, char *out, unsigned size) {
    return string(__func__, handle, "name", out, size);
}

nvmlReturn_t nvmlDeviceGetUUID(void *handle, char *out, unsigned size) {
    return string(__func__, handle, "uuid", out, size);
}

struct utilization { unsigned gpu, memory; };

nvmlReturn_t nvmlDeviceGetUtilizationRates(void *handle, struct utilization *out) {
    out->memory = 0;
    return small_number(__func__, handle, "utilization", &out->gpu);
}

struct memory { unsigned long long total, free, used; };
struct memory_v2 { unsigned version; unsigned long long total, reserved, free, used; };

static nvmlReturn_t memory_of(const char *function, void *handle, struct memory_v2 *out) {
    nvmlReturn_t error = number(function, handle, "memory_total", &out->total);
    if (!error) error = number(function, handle, "memory_used", &out->used);
    if (!error && number(function, handle, "memory_reserved", &out->reserved)) out->reserved = 0;
    if (!error) out->free = out->total - out->used - out->reserved;
    return error;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(void *handle, struct memory *out) {
    struct memory_v2 memory;
    nvmlReturn_t error = memory_of(__func__, handle, &memory);
    if (error) return error;
    *out = (struct memory){memory.total, memory.free, memory.used + memory.reserved};
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(void *handle, struct memory_v2 *out) {
    if (out->version != (sizeof *out | 2u << 24)) return VERSION_MISMATCH;
    return memory_of(__func__, handle, out);
}

nvmlReturn_t nvmlDeviceGetTemperature(void *handle, unsigned sensor, unsigned *out) {
    if (sensor != 0) return INVALID_ARGUMENT;
    return small_number(__func__, handle, "temperature", out);
}

struct temperature { unsigned version, sensor; int temperature; };

nvmlReturn_t nvmlDeviceGetTemperatureV(void *handle, struct temperature *out) {
    if (out->version != (sizeof *out | 1u << 24)) return VERSION_MISMATCH;
    unsigned value;
    nvmlReturn_t error = small_number(__func__, handle, "temperature", &value);
    if (!error) out->temperature = (int)value;
    return error;
}

nvmlReturn_t nvmlDeviceGetPowerUsage(void *handle, unsigned *out) {
    return small_number(__func__, handle, "power", out);
}

nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(void *handle, unsigned *out) {
    return small_number(__func__, handle, "power_limit", out);
}

nvmlReturn_t nvmlDeviceGetMigMode(void *handle, unsigned *current, unsigned *pending) {
    nvmlReturn_t error = small_number(__func__, handle, "mig_mode", current);
    if (!error) *pending = *current;
    return error;
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *count) {
    struct device *device;
    nvmlReturn_t error = enter_device(__func__, handle, &device);
    if (!error) *count = 7;
    return error;
}

nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned index, void **slice) {
    struct device *board;
    nvmlReturn_t error = enter_device(__func__, handle, &board);
    if (error) return error;
    for (int i = 0; i < world.count; i++) {
        const char *place = text_of(&world.device[i], "mig_index");
        int at = place ? atoi(place) : world.device[i].index;
        if (world.device[i].is_mig && world.device[i].parent == board - world.device &&
            at == (int)index) {
            *slice = handles + i;
            return enter_device(__func__, *slice, &board);
        }
    }
    return NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceId(void *handle, unsigned *id) {
    return small_number(__func__, handle, "gpu_instance", id);
}

nvmlReturn_t nvmlDeviceGetComputeInstanceId(void *handle, unsigned *id) {
    return small_number(__func__, handle, "compute_instance", id);
}

struct pci {
    char legacy[16];
    unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
    char bus_id[32];
};

nvmlReturn_t nvmlDeviceGetPciInfo_v3(void *handle, struct pci *out) {
    memset(out, 0, sizeof *out);
    return small_number(__func__, handle, "pci_bus", &out->bus);
}
