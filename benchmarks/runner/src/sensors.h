// What the machine says about itself beside a measurement: heat, clocks, battery, load, memory.
#pragma once
#include <string>

// One `sensors` event. `root` holds sys/ and proc/ ("/" on a device). What a system does not have
// or does not let us read is left out.
void emit_sensors(const std::string &root);

// One `memory` event: VmRSS and VmHWM (the peak) of this process, in kB.
void emit_memory(const char *when);
