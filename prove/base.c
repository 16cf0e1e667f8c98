/* SPDX-License-Identifier: MIT
 *
 * base.c - small functions of src/base.
 *
 * Proves: ceil_div, least. */
#include "model.h"

#include "base/base.h"

#include "base.h"
