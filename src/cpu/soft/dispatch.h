/* Running translated code: finding or making the block for rip, entering it, dealing with its exits. */
#pragma once

#include "cpu/soft/interp.h"

/* Runs until something outside the instruction stream wants attention, or an instruction says so. */
enum step dispatch_run(struct vcpu *v);
