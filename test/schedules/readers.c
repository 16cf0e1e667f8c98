#include "explore.h"
const struct scenario readers_scenarios[] = {{.name = NULL}};
