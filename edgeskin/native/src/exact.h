// Above everything else in every source of the core: no fused multiply-add, as edgeskin.h promises.
// Clang takes it from here, so that builds which cannot set a flag (SwiftPM) keep the promise too;
// GCC knows only -ffp-contract=off.
#pragma once

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif
