/* SPDX-License-Identifier: MIT
 *
 * C8: checks that Mem_Dump prints the address and the size of each free chunk, in address order,
 * and their totals.
 *
 * The layout of the text is the library's choice. These tests require only that each address
 * appears with its size behind it on the same line, that the lines are in address order, and that
 * the totals appear before or after them. Commas inside numbers are ignored: "1,360" is 1360.
 */
#include "contract.h"

#include <ctype.h>

static char *text_without_commas(void)
{
    char *text = dump_text();
    char *to = text;
    for (char *from = text; *from != '\0'; from++) {
        bool groups = *from == ',' && from > text && isdigit((unsigned char)from[-1]) &&
                      isdigit((unsigned char)from[1]);
        if (!groups) {
            *to++ = *from;
        }
    }
    *to = '\0';
    return text;
}

/* Returns where `word` begins in text[0..end) as a whole word, or NULL. */
static char *find_word(char *text, const char *end, const char *word)
{
    size_t length = strlen(word);
    for (char *at = text; (at = strstr(at, word)) != NULL && at < end; at++) {
        bool begins = at == text || !isalnum((unsigned char)at[-1]);
        if (begins && !isalnum((unsigned char)at[length])) {
            return at;
        }
    }
    return NULL;
}

static bool says(char *text, const char *end, long number)
{
    char word[32];
    snprintf(word, sizeof(word), "%ld", number);
    return find_word(text, end, word) != NULL;
}

/* Finds the line of a chunk at or below `text`: a line that has the chunk's address and, behind
 * it, the size. Lines with the address alone, such as a heading, are passed over. Returns the end
 * of that line, or NULL if there is none. */
static char *below_line_of(char *text, MemNodePtr node)
{
    char address[32];
    char *at = text, *end;
    snprintf(address, sizeof(address), "%p", (void *)node);
    while ((at = find_word(at, at + strlen(at), address)) != NULL) {
        at += strlen(address);
        end = at + strcspn(at, "\n");
        if (says(at, end, node->size)) {
            return end;
        }
    }
    return NULL;
}

static void check_dump(void)
{
    char *text = text_without_commas();
    char *at = text;
    long nchunks = 0, nbytes = 0;
    for (MemNodePtr node = m_free_list; node != NULL; node = node->next) {
        at = below_line_of(at, node);
        if (at == NULL) {
            fail_msg("no line for %p, %d bytes, in this order:\n%s", (void *)node, node->size,
                     text);
        }
        nchunks++;
        nbytes += node->size;
    }
    assert_true(says(text, text + strlen(text), nchunks));
    assert_true(says(text, text + strlen(text), nbytes));
    free(text);
}

static void one_chunk(void)
{
    open_heap(4096);
    check_dump();
}

static void five_chunks(void)
{
    static unsigned char *items[8];
    open_heap(65536);
    for (int i = 0; i < 8; i++) {
        items[i] = get(100 + i * 70);
    }
    for (int i = 1; i < 8; i += 2) {
        give(items[i]);
    }
    check_dump();
    give(items[2]);
    check_dump();
}

static void hundreds_of_chunks(void)
{
    unsigned seed = 8;
    open_heap(1 << 20);
    for (int i = 0; i < 2000; i++) {
        get(1 + random_below(&seed, 300));
    }
    for (int i = 0; i < 1000; i++) {
        give(objects[random_below(&seed, nobjects)].start);
    }
    check_dump();
}

static void full(void)
{
    open_heap(4096);
    enter_object(Mem_Alloc(m_free_list->size), 1);
    assert_null(m_free_list);
    char *text = text_without_commas();
    assert_true(strlen(text) > 0);
    assert_true(says(text, text + strlen(text), 0));
    free(text);
}

static void changes_nothing(void)
{
    open_heap(4096);
    get(100);
    get(100);
    give(objects[0].start);
    char *before = picture(); /* picture() calls Mem_Dump, too. */
    clear_errors();
    free(dump_text());
    assert_errors(0, 0);
    assert_true(same_picture(before));
}

static void can_be_read(void)
{
    open_heap(4096);
    get(100);
    char *text = dump_text();
    size_t length = strlen(text);
    assert_true(length > 0 && text[length - 1] == '\n');
    for (char *at = text; *at != '\0'; at++) {
        assert_true(isprint((unsigned char)*at) || isspace((unsigned char)*at));
    }
    free(text);
}

static void before_init(void)
{
    free(dump_text());
    open_heap(4096);
    check_dump();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE("C8 a heap of one chunk is printed, with totals", one_chunk),
        ALONE("C8 five chunks are printed in address order", five_chunks),
        ALONE("C8 hundreds of chunks are printed in address order", hundreds_of_chunks),
        ALONE("C8 a full heap has 0 bytes free", full),
        ALONE("C8 printing changes nothing", changes_nothing),
        ALONE("C8 the text is lines of printable characters", can_be_read),
        ALONE("C8 printing before Mem_Init does no harm", before_init),
    };
    return cmocka_run_group_tests_name("C8", tests, NULL, NULL);
}
