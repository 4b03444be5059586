// The measurements, each a series of events. They throw std::runtime_error where one fails.
#pragma once
#include "request.h"
#include "session.h"

// Loads the model `loads` times, the first after its pages were dropped from the system's cache,
// and times each load and its first inference; the last session stays.
std::unique_ptr<Session> measure_loads(Runtime &runtime, const Request &request);

// Every image once, in order; the outputs' bytes go one after the other into `request.outputs`.
void run_all(Session &session, const Request &request);

// Warm-up until stable, then queries in random order until there are enough of them and enough
// time has passed. Sensors are read between queries.
void measure_latency(Session &session, const Request &request);

// Operators and where they ran, by a session of its own.
void profile(Runtime &runtime, const Request &request);
