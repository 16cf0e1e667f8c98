#include "explore.h"
const struct scenario lock_scenarios[] = {{.name = NULL}};
