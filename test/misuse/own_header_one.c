/* EXPECT: 0 "Mem_Alloc(int): 40 bytes, Mem_Free: -1 with m_error 5" */
/* SPDX-License-Identifier: MIT
 * Uses its own declarations, in which Mem_Alloc has one argument. */
#include <stdio.h>

int Mem_Init(int sizeOfRegion);
void *Mem_Alloc(int size);
int Mem_Free(void *ptr);
int Mem_GetSize(void *ptr);
extern int m_error;

/* Leaves a second argument in the register where Mem_Alloc expects a style. */
__attribute__((noinline)) static int leave_behind(int first, int second)
{
    __asm__ volatile("" : "+r"(first), "+r"(second));
    return first;
}

int main(void)
{
    static const int left[] = {0, 1, 2, 3, -1, 12345678};
    char *p = NULL;
    if (Mem_Init(4096) != 0) {
        return 1;
    }
    for (int i = 0; i < 6; i++) {
        p = Mem_Alloc(leave_behind(40, left[i]));
        if (p == NULL || Mem_GetSize(p + 39) != 40) {
            return 2;
        }
    }
    int size = Mem_GetSize(p);
    int refused = Mem_Free(p) == 0 ? Mem_Free(p) : 1;
    printf("Mem_Alloc(int): %d bytes, Mem_Free: %d with m_error %d\n", size, refused, m_error);
    return 0;
}
