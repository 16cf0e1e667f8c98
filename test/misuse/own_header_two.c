/* EXPECT: 0 "Mem_Alloc(int, int): placed at 0, 192 and 400, Mem_Free: -1 with m_error 5" */
/* SPDX-License-Identifier: MIT
 * Uses its own declarations, in which Mem_Alloc has a size and a style. */
#include <stdio.h>

#define BESTFIT  0
#define WORSTFIT 1
#define FIRSTFIT 2

int Mem_Init(int size);
void *Mem_Alloc(int size, int style);
int Mem_Free(void *ptr);
extern int m_error;

/* [160, freed][32][96, freed][32][80][ free ] */
static char *open_holes(void)
{
    static const int sizes[] = {160, 32, 96, 32, 80};
    char *objects[5] = {NULL};
    for (int i = 0; i < 5; i++) {
        objects[i] = Mem_Alloc(sizes[i], FIRSTFIT);
    }
    Mem_Free(objects[0]);
    Mem_Free(objects[2]);
    return objects[0];
}

int main(void)
{
    if (Mem_Init(4096) != 0) {
        return 1;
    }
    char *base = open_holes();
    char *best = Mem_Alloc(90, BESTFIT);
    char *worst = Mem_Alloc(90, WORSTFIT);
    char *first = Mem_Alloc(90, FIRSTFIT);
    int refused = Mem_Free(best + 89) == 0 ? Mem_Free(best) : 1;
    printf("Mem_Alloc(int, int): placed at %d, %d and %d, Mem_Free: %d with m_error %d\n",
           (int)(first - base), (int)(best - base), (int)(worst - base), refused, m_error);
    return 0;
}
