/* program.c - what documents call ./program: it allocates, frees and ends. */
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    for (int i = 1; i < 1000; i++)
        free(malloc((size_t)i));
    puts("done");
    return 0;
}
