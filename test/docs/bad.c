/* bad.c - what README.md shows: it frees an address inside an object. */
#include <stdlib.h>

int main(void)
{
    char *name = malloc(100);
    free(name + 24);
    return 0;
}
