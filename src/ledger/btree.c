/* SPDX-License-Identifier: MIT
 *
 * btree.c - two sorted sequences in arrays or B+-trees: finds, inserts and removes words, and
 * keeps the nodes balanced and dense. Invariants: btree.h.
 *
 * In this order: nodes and arrays, finding, summaries, balance, changing, the check.
 *
 * The nodes may have been overwritten with anything [BT5]. So a number that is read from a node
 * is made to fit before it is used: node_at accepts only a node that there is, nwords_of only as
 * many words as a node can have, and every loop has a bound of its own.
 *
 * A tree of height 2, by address. Each word of the root stands for one child: where its first
 * chunk starts, and how long the longest free chunk below is.
 *
 *     level 2    root      (0, 90)            (5000, 12)
 *                             |                   |
 *     level 1    inner     (0, 7) (900, 90)   (5000, 0) (7200, 12)
 *                             |      |            |         |
 *     level 0    leaves     [...]  [...]        [...]     [...]        (start, state)
 *
 * A cursor holds the index on each level, so that the next word, the word before and the
 * summaries above are found without a search. First fit for 50 granules goes down where the
 * summary is 50 or more: to the second leaf, without a look at any other. */
#include "ledger/btree.h"

#include "base/poison.h"
#include "base/seqcount.h"

/* For what is short beside a call of it, and is called in several places. */
#define INLINED static inline __attribute__((always_inline))

enum { NODE_BYTES = 256 };

struct node {
    uint8_t order;
    uint8_t level; /* 0: a leaf */
    uint16_t nwords;
    uint32_t unused;
    union {
        uint64_t word[LEAF_CAP];
        struct {
            uint64_t unnamed[INNER_CAP]; /* word[], as far as an inner node has it */
            uint32_t child[INNER_CAP];
        };
    };
};
static_assert(sizeof(struct node) == NODE_BYTES, "a node is four cache lines");

RACING static int cap_of(unsigned level)
{
    return level == 0 ? LEAF_CAP : INNER_CAP;
}

static int min_of(unsigned level)
{
    return level == 0 ? LEAF_MIN : INNER_MIN;
}

/* --- nodes and arrays ------------------------------------------------------ */

/* Nodes are numbered from the end of the memory down. */
RACING static struct node *node_place(const struct btree *b, uint32_t id)
{
    return (struct node *)(b->end - ((size_t)id + 1) * NODE_BYTES);
}

/* Returns the node of that number; node 0 if there is none, since the number may come from a node
 * that was overwritten [BT5]. */
static struct node *node_at(const struct btree *b, uint32_t id)
{
    return node_place(b, id < b->nnodes ? id : 0);
}

/* Returns how many words a node has; 1 if its count cannot be right [BT5], since no node that is in
 * use is empty, and callers rely on a first word. */
static int nwords_of(const struct node *x, unsigned level)
{
    unsigned n = x->nwords;
    return n - 1 < (unsigned)cap_of(level) ? (int)n : 1;
}

/* Returns whether nbytes more fit into the room. Only a btree that was overwritten has no room
 * [BT4, BT5]. */
static bool has_bytes(const struct btree *b, size_t nbytes)
{
    return btree_nbytes(b) + nbytes <= b->room;
}

/* Returns the node that a step of a cursor is in. The step is not in an array. */
static struct node *node_of(const struct step *s)
{
    return (struct node *)((unsigned char *)s->word - offsetof(struct node, word));
}

/* Returns how many words of a sequence lie in its array: all, or none if it is a tree. */
static size_t array_nwords(const struct btree *b, enum order order)
{
    return b->tree[order].height == 0 ? b->tree[order].nwords : 0;
}

/* Returns the array of a sequence that is one. For BY_SIZE it is always the lowest word in use. */
static uint64_t *array_of(const struct btree *b, enum order order)
{
    uint64_t *word = (uint64_t *)(b->end - (size_t)b->nnodes * NODE_BYTES);
    word -= array_nwords(b, BY_ADDRESS);
    return order == BY_ADDRESS ? word : word - array_nwords(b, BY_SIZE);
}

/* Opens a gap of n words below `at`, which is in an array; if n < 0, closes a gap of -n words.
 *
 *     low        at        end           low - n           at        end
 *      | a  b  c | d  e ... |    =>       | a  b  c |  gap  | d  e ... |
 */
static void arrays_move(const struct btree *b, const uint64_t *at, ptrdiff_t n)
{
    assert((uintptr_t)at % sizeof *at == 0);
    uint64_t *low = array_of(b, BY_SIZE);
    assert(low <= at); /* or the length wraps */
    if (n > 0)
        unpoison(low - n, (size_t)n * sizeof *low); /* PO2 */
    memmove(low - n, low, (size_t)((const unsigned char *)at - (unsigned char *)low));
}

/* Inserts a word before `index` of an array, below which all words move down by one. */
static void array_insert(struct btree *b, enum order order, int index, uint64_t word)
{
    if (!has_bytes(b, sizeof word))
        return;
    assert(index >= 0 && (uint32_t)index <= b->tree[order].nwords && b->tree[order].height == 0);
    uint64_t *at = array_of(b, order) + index;
    arrays_move(b, at, 1);
    at[-1] = word;
    b->tree[order].nwords++;
}

/* Removes the word at `index` of an array; all words below it move up by one. */
static void array_remove(struct btree *b, enum order order, int index)
{
    assert(b->tree[order].height == 0); /* a tree has no array */
    assert(index >= 0 && (uint32_t)index < b->tree[order].nwords);
    arrays_move(b, array_of(b, order) + index, -1);
    b->tree[order].nwords--;
}

/* Adds an empty node below all others, and moves the arrays out of its way, as far down as a
 * node is long: | arrays | node 1 | node 0 | => | arrays | new | node 1 | node 0 |. Returns its
 * number; 0 if there is no room [BT5]. */
static uint32_t node_take(struct btree *b, enum order order, unsigned level)
{
    assert(level <= HEIGHT_MAX); /* a cursor has no step above */
    assert(order == BY_ADDRESS || order == BY_SIZE);
    if (!has_bytes(b, NODE_BYTES))
        return 0;
    arrays_move(b, (uint64_t *)node_place(b, b->nnodes) + NODE_BYTES / sizeof(uint64_t),
                NODE_BYTES / sizeof(uint64_t));
    struct node *x = node_place(b, b->nnodes);
    x->order = (uint8_t)order;
    x->level = (uint8_t)level;
    x->nwords = 0;
    x->unused = 0;
    return b->nnodes++;
}

/* Returns how many words are <= key. An array is halved down to the size of a node. In a node, the
 * first word of each cache line tells which line to search, and then all words in it are counted:
 * loads that do not wait for one another, and no branch to mispredict. */
RACING static int count_below_or_at(const uint64_t *word, int nwords, uint64_t key)
{
    assert(nwords >= 0);
    enum { LINE_WORDS = 8, LINE_1 = 7 }; /* line 0 begins with the node's header */
    int begin = 0;
    while (nwords > LEAF_CAP) {
        int half = nwords / 2;
        begin += half * (word[begin + half - 1] <= key);
        nwords -= half;
    }
    int end = begin + nwords;
    for (int i = begin + LINE_1; i < end; i += LINE_WORDS)
        begin = word[i] <= key ? i : begin;
    end = end < begin + LINE_WORDS ? end : begin + LINE_WORDS;
    int count = begin;
    for (int i = begin; i < end; i++)
        count += word[i] <= key;
    return count;
}

/* Returns the key with which btree_floor finds `word`. By address only the start counts, since two
 * chunks never start at one granule and the state of a chunk changes. */
static uint64_t key_of(enum order order, uint64_t word)
{
    return order == BY_ADDRESS ? word | UINT32_MAX : word;
}

/* Makes the parent of a node that has moved to `id` point to it. The parent is found from the
 * root, by the node's first word. */
static void node_repoint(struct btree *b, uint32_t id)
{
    assert(id < b->nnodes); /* it has moved to where a node was */
    const struct node *x = node_at(b, id);
    struct tree *t = &b->tree[x->order == BY_SIZE ? BY_SIZE : BY_ADDRESS];
    if (x->level >= t->height) {
        t->root = id;
        return;
    }
    uint64_t key = key_of((enum order)x->order, x->word[0]);
    uint32_t above = t->root;
    for (unsigned level = t->height;; level--) {
        struct node *parent = node_at(b, above);
        int n = count_below_or_at(parent->word, nwords_of(parent, level), key);
        int index = n > 0 ? n - 1 : 0;
        if (level == x->level + 1u) {
            parent->child[index] = id;
            return;
        }
        above = parent->child[index];
    }
}

/* Removes a node. The last one moves into its place [BT1], and the arrays move up.
 *
 *     | arrays | node 3 | node 2 | node 1 | node 0 |       node 1 goes:
 *              | arrays | node 2 | node 3 | node 0 |       node 3 has become node 1
 */
static void node_give_back(struct btree *b, uint32_t id)
{
    uint32_t last = b->nnodes - 1;
    if (id >= b->nnodes)
        return;
    if (id != last) {
        *node_at(b, id) = *node_at(b, last);
        node_repoint(b, id);
    }
    assert(last < b->nnodes); /* there was one */
    arrays_move(b, (uint64_t *)node_at(b, last), -(ptrdiff_t)(NODE_BYTES / sizeof(uint64_t)));
    b->nnodes = last;
}

/* Nothing is written to the memory. */
void btree_open(struct btree *b, void *end, size_t room)
{
    assert((uintptr_t)end % GRANULE_BYTES == 0); /* nodes and words are aligned */
    *b = (struct btree){.end = end, .room = room};
}

/* Returns whether the height and the count fit each other, and the root is a node. */
static bool tree_is_sane(const struct btree *b, const struct tree *t)
{
    if (t->height == 0)
        return t->nwords <= ARRAY_MAX;
    return t->height <= HEIGHT_MAX && t->root < b->nnodes && t->nwords > ARRAY_AGAIN;
}

/* What is possible: two sane trees, and no memory in use beyond the room. The bounds of every
 * function here follow from that [BT5]. */
bool btree_is_sane(const struct btree *b)
{
    return tree_is_sane(b, &b->tree[BY_ADDRESS]) && tree_is_sane(b, &b->tree[BY_SIZE]) &&
           btree_nbytes(b) <= b->room;
}

/* Down to the lowest word, which is the array by size, or the node above it if that is a tree. */
size_t btree_nbytes(const struct btree *b)
{
    return (size_t)(b->end - (unsigned char *)array_of(b, BY_SIZE));
}

/* --- finding --------------------------------------------------------------- */

/* Puts the step at `level` of a cursor into a node; its index is the caller's to set. */
static struct step *step_into(struct cursor *c, int level, struct node *x)
{
    assert(level >= 0 && level <= HEIGHT_MAX); /* within the cursor */
    struct step *s = &c->step[level];
    s->word = x->word;
    s->nwords = nwords_of(x, (unsigned)level);
    return s;
}

/* Puts the step at `level` into the child that the step above it points to. */
static struct step *step_into_child(const struct btree *b, struct cursor *c, int level)
{
    assert(level >= 0 && level < c->height); /* the root is no child */
    const struct step *up = &c->step[level + 1];
    assert(up->index >= 0 && up->index < up->nwords); /* the step above has a child */
    return step_into(c, level, node_at(b, node_of(up)->child[up->index]));
}

/* Puts a cursor at the top of a sequence: into the root, or into the array. */
INLINED struct step *step_into_root(const struct btree *b, enum order order, struct cursor *c)
{
    const struct tree *t = &b->tree[order];
    assert(t->height <= HEIGHT_MAX); /* btree_is_sane */
    c->order = order;
    c->height = (int)t->height;
    if (t->height > 0)
        return step_into(c, c->height, node_at(b, t->root));
    c->step[0].word = array_of(b, order);
    c->step[0].nwords = (int)t->nwords;
    return &c->step[0];
}

static void prefetch_node(const struct node *x)
{
    /* All four lines at once. The search alone would load one after the other. */
    for (size_t line = 0; line < NODE_BYTES; line += 64)
        __builtin_prefetch((const unsigned char *)x + line);
}

/* One node on each level: the last word that is <= key stands for the child in which it must be.
 * A key below all words goes down the left edge, to end at BEFORE_FIRST. */
bool btree_floor(const struct btree *b, enum order order, uint64_t key, struct cursor *c)
{
    struct step *s = step_into_root(b, order, c);
    for (int level = c->height; level > 0; level--) {
        int n = count_below_or_at(s->word, s->nwords, key);
        s->index = n > 0 ? n - 1 : 0; /* a key before all words: down the left edge */
        struct node *child = node_at(b, node_of(s)->child[s->index]);
        prefetch_node(child);
        s = step_into(c, level - 1, child);
    }
    s->index = count_below_or_at(s->word, s->nwords, key) - 1;
    assert(s->index >= BEFORE_FIRST && s->index < s->nwords);
    return s->index != BEFORE_FIRST;
}

/* The word after the last one that is below the key. */
bool btree_ceil(const struct btree *b, enum order order, uint64_t key, struct cursor *c)
{
    assert(key > 0); /* key - 1 wraps */
    btree_floor(b, order, key - 1, c);
    return btree_next(b, c);
}

/* Down the right edge. */
bool btree_last(const struct btree *b, enum order order, struct cursor *c)
{
    struct step *s = step_into_root(b, order, c);
    for (int level = c->height; level > 0; level--) {
        s->index = s->nwords - 1;
        s = step_into_child(b, c, level - 1);
    }
    s->index = s->nwords - 1;
    assert(s->index >= BEFORE_FIRST);
    return s->index != BEFORE_FIRST;
}

/* Up to the first level that has a word after the cursor's, and from there down the left edge of
 * what comes next. Most steps stay within the leaf. */
bool btree_next(const struct btree *b, struct cursor *c)
{
    assert(c->height >= 0 && c->height <= HEIGHT_MAX); /* the cursor was set */
    int level = 0;
    while (c->step[level].index + 1 >= c->step[level].nwords)
        if (++level > c->height)
            return false;
    c->step[level].index++;
    while (level-- > 0)
        step_into_child(b, c, level)->index = 0;
    return true;
}

/* Likewise, down the right edge of what comes before. */
bool btree_prev(const struct btree *b, struct cursor *c)
{
    assert(c->height >= 0 && c->height <= HEIGHT_MAX); /* the cursor was set */
    int level = 0;
    while (c->step[level].index <= 0)
        if (++level > c->height)
            return false;
    c->step[level].index--;
    while (level-- > 0) {
        struct step *s = step_into_child(b, c, level);
        s->index = s->nwords - 1;
    }
    return true;
}

/* Most words have their neighbour in the same leaf: a cursor is long to copy. */
bool btree_before(const struct btree *b, const struct cursor *c, uint64_t *word)
{
    const struct step *s = &c->step[0];
    if (s->index > 0) {
        *word = s->word[s->index - 1];
        return true;
    }
    struct cursor side = *c;
    if (c->height == 0 || !btree_prev(b, &side))
        return false;
    *word = cursor_word(&side);
    return true;
}

bool btree_after(const struct btree *b, const struct cursor *c, uint64_t *word)
{
    const struct step *s = &c->step[0];
    if (s->index + 1 < s->nwords) {
        *word = s->word[s->index + 1];
        return true;
    }
    struct cursor side = *c;
    if (c->height == 0 || !btree_next(b, &side))
        return false;
    *word = cursor_word(&side);
    return true;
}

/* By address: where the chunk or the node that the cursor has at `level` ends, which is where
 * the next one on the level or above begins. */
static uint32_t end_at(const struct btree *b, const struct cursor *c, int level)
{
    for (; level <= c->height; level++) {
        const struct step *s = &c->step[level];
        if (s->index + 1 < s->nwords)
            return high_of(s->word[s->index + 1]);
    }
    return b->top;
}

uint32_t btree_chunk_end(const struct btree *b, const struct cursor *c)
{
    assert(c->order == BY_ADDRESS); /* by size, nothing ends */
    assert(c->step[0].index != BEFORE_FIRST);
    return end_at(b, c, 0);
}

RACING static uint32_t lookup_chunk_end(const uint64_t *word, int nwords, int index, uint32_t end)
{
    return index + 1 < nwords ? high_of(NOW(word[index + 1])) : end;
}

/* For a reader without the lock: the leaf in which `key` is sought, how many words it has, and
 * where it ends. Returns NULL if what is there is not a tree. */
RACING static const uint64_t *lookup_leaf(const struct btree *b, size_t nbytes, uint64_t key,
                                          int *nwords, uint32_t *end)
{
    uint32_t level = NOW(b->tree[BY_ADDRESS].height), id = NOW(b->tree[BY_ADDRESS].root);
    if (level > HEIGHT_MAX)
        return NULL;
    for (;; level--) {
        if (id >= nbytes / NODE_BYTES)
            return NULL;
        const struct node *x = node_place(b, id);
        *nwords = NOW(x->nwords);
        if (*nwords == 0 || *nwords > cap_of(level))
            return NULL;
        if (level == 0)
            return x->word;
        int n = count_below_or_at(x->word, *nwords, key), index = n > 0 ? n - 1 : 0;
        *end = lookup_chunk_end(x->word, *nwords, index, *end);
        id = NOW(x->child[index]);
    }
}

/* For a reader without the lock: the array BY_ADDRESS, and how many words it has. Returns NULL if
 * there is none, or if it cannot lie where the numbers say. */
RACING static const uint64_t *lookup_array(const struct btree *b, size_t nbytes, int *nwords)
{
    uint32_t n = NOW(b->tree[BY_ADDRESS].nwords), nnodes = NOW(b->nnodes);
    size_t below = (size_t)nnodes * NODE_BYTES + n * sizeof(uint64_t);
    if (n == 0 || n > ARRAY_MAX || below > nbytes)
        return NULL;
    *nwords = (int)n;
    return (const uint64_t *)(const void *)(b->end - below);
}

/* The sequence may change from array to tree, or a node may go, while this reads: so the height
 * and the numbers of nodes are loaded once each, and a number outside the memory ends the
 * search. The words themselves may be torn from one another, which the caller finds out
 * afterwards [SQ1]. */
RACING bool btree_lookup(const struct btree *b, size_t nbytes, uint64_t key, uint64_t *found,
                         uint32_t *end)
{
    int nwords;
    *end = NOW(b->top);
    bool is_array = NOW(b->tree[BY_ADDRESS].height) == 0;
    const uint64_t *word =
        is_array ? lookup_array(b, nbytes, &nwords) : lookup_leaf(b, nbytes, key, &nwords, end);
    if (word == NULL)
        return false;
    int index = count_below_or_at(word, nwords, key) - 1;
    if (index == BEFORE_FIRST)
        return false;
    *end = lookup_chunk_end(word, nwords, index, *end);
    *found = NOW(word[index]);
    return true;
}

/* Returns how long the longest free chunk below a word is; in a leaf, how long the word's own chunk
 * is if it is free. */
static uint32_t longest_free_at(const struct btree *b, const struct cursor *c, int level, int index)
{
    const struct step *s = &c->step[level];
    assert(index >= 0 && index < s->nwords);
    if (level > 0)
        return low_of(s->word[index]);
    if (low_of(s->word[index]) != 0)
        return 0;
    uint32_t end = index + 1 < s->nwords ? high_of(s->word[index + 1]) : end_at(b, c, 1);
    return end - high_of(s->word[index]);
}

/* Moves the cursor at `level` to the first word, from `index` on in direction dir, that has a
 * free chunk of ngranules at or below it. Returns false if none has. */
static bool scan_level(const struct btree *b, struct cursor *c, int level, int index, int dir,
                       uint32_t ngranules)
{
    assert(dir == 1 || dir == -1);
    for (; index >= 0 && index < c->step[level].nwords; index += dir) {
        if (longest_free_at(b, c, level, index) >= ngranules) {
            c->step[level].index = index;
            return true;
        }
    }
    return false;
}

/* Moves the cursor to the nearest free chunk of ngranules, from `index` at `level` on in
 * direction dir: up until a summary promises one, then down to it. Returns false if there is
 * none. */
static bool search_free(const struct btree *b, struct cursor *c, int level, int index, int dir,
                        uint32_t ngranules)
{
    assert(c->order == BY_ADDRESS); /* only these words say what is free */
    assert(ngranules > 0);          /* or a live chunk would do */
    while (!scan_level(b, c, level, index, dir, ngranules)) {
        if (++level > c->height)
            return false;
        index = c->step[level].index + dir;
    }
    while (level-- > 0) {
        const struct step *s = step_into_child(b, c, level);
        if (!scan_level(b, c, level, dir > 0 ? 0 : s->nwords - 1, dir, ngranules))
            return false; /* the summary was wrong: BT2 is broken */
    }
    return true;
}

/* From the top: the root's summaries say whether there is one at all. */
bool btree_first_free(const struct btree *b, uint32_t ngranules, struct cursor *c)
{
    step_into_root(b, BY_ADDRESS, c);
    return search_free(b, c, c->height, 0, 1, ngranules);
}

/* From the cursor on, through the rest of its leaf first, and then by the summaries above. */
bool btree_free_above(const struct btree *b, struct cursor *c)
{
    assert(c->step[0].index != BEFORE_FIRST); /* the search begins at a chunk */
    return search_free(b, c, 0, c->step[0].index, 1, 1);
}

bool btree_free_below(const struct btree *b, struct cursor *c)
{
    assert(c->step[0].index != BEFORE_FIRST); /* the search begins at a chunk */
    return search_free(b, c, 0, c->step[0].index, -1, 1);
}

/* --- summaries ------------------------------------------------------------- */

/* Returns the length of the longest free chunk of a leaf that ends at `end`; 0 if all are live.
 * Each chunk ends where the next word says that the next chunk starts. */
static uint32_t longest_free(const uint64_t *word, int nwords, uint32_t end)
{
    uint32_t longest = 0;
    for (int i = 0; i < nwords; i++) {
        uint32_t stop = i + 1 < nwords ? high_of(word[i + 1]) : end;
        uint32_t is_free = low_of(word[i]) == 0; /* a branch would often be mispredicted */
        uint32_t length = (stop - high_of(word[i])) * is_free;
        longest = length > longest ? length : longest;
    }
    return longest;
}

/* Returns the word that has to stand for a node which ends at `end` [BT2]. */
static uint64_t summary_of(const struct node *x, uint32_t end)
{
    int nwords = nwords_of(x, x->level);
    if (x->order == BY_SIZE)
        return x->word[0];
    if (x->level == 0)
        return word_of(high_of(x->word[0]), longest_free(x->word, nwords, end));
    uint32_t longest = 0;
    for (int i = 0; i < nwords; i++)
        longest = low_of(x->word[i]) > longest ? low_of(x->word[i]) : longest;
    return word_of(high_of(x->word[0]), longest);
}

/* Returns the length of the chunk whose word this is, if it is free and ends at `end`; 0 of a live
 * one. Of a word by size the result means nothing, and is not used. */
static uint32_t free_length(uint64_t word, uint32_t end)
{
    return low_of(word) == 0 ? end - high_of(word) : 0;
}

static uint32_t longer_of(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* Returns where the chunk at an index of the leaf or of the array ends. */
static uint32_t end_of(const struct btree *b, const struct cursor *c, int index)
{
    const struct step *s = &c->step[0];
    assert(index >= 0 && index < s->nwords);
    return index + 1 < s->nwords ? high_of(s->word[index + 1]) : end_at(b, c, 1);
}

/* The longest free chunk among those that changed, before and after. From these two the summary
 * above follows in most cases, without a look at all words of the node. */
struct change {
    uint32_t was, is;
};

/* Makes BT2 true again above the leaf at the cursor, which has changed. On each level, from the old
 * summary `old` = (start, longest):
 *
 *     change.is >= longest    it is the new longest
 *     change.was < longest    the longest was another one, and still is
 *     else                    the longest may have gone: look at all words of the node
 */
static void refresh(const struct btree *b, const struct cursor *c, struct change change)
{
    for (int level = 0; level < c->height; level++) {
        const struct step *up = &c->step[level + 1];
        const struct node *x = node_of(&c->step[level]);
        assert(up->index >= 0 && up->index < up->nwords); /* the word that stands for x */
        uint64_t old = up->word[up->index], summary;
        if (c->order == BY_ADDRESS && change.is >= low_of(old))
            summary = word_of(high_of(x->word[0]), change.is);
        else if (c->order == BY_ADDRESS && change.was < low_of(old))
            summary = word_of(high_of(x->word[0]), low_of(old));
        else
            summary = summary_of(x, end_at(b, c, level + 1));
        if (old == summary)
            return;
        up->word[up->index] = summary;
        change = (struct change){low_of(old), low_of(summary)};
    }
}

/* --- balance --------------------------------------------------------------- */

/* Neighbouring nodes, with their words laid end to end, on their way from one division to another:
 *
 *     gather     [30][31][30]  =>  91 words in a row
 *     scatter    91 words      =>  [22][23][23][23], and a summary for each
 *     adopt      the parent's three words and children become four
 */
struct group {
    uint64_t word[GROUP_MAX * LEAF_CAP];
    uint32_t child[GROUP_MAX * INNER_CAP];
    uint32_t id[GROUP_MAX + 1];
    int nwords, nnodes;
};

/* Copies the words of nnodes neighbouring nodes into the group. */
static void gather(const struct btree *b, struct group *g, unsigned level, const uint32_t *id,
                   int nnodes)
{
    assert(nnodes > 0 && nnodes <= GROUP_MAX); /* the group has places for these */
    g->nwords = 0;
    g->nnodes = nnodes;
    for (int i = 0; i < nnodes; i++) {
        const struct node *x = node_at(b, id[i]);
        int n = nwords_of(x, level);
        memcpy(g->word + g->nwords, x->word, (size_t)n * sizeof(uint64_t));
        if (level > 0)
            memcpy(g->child + g->nwords, x->child, (size_t)n * sizeof(uint32_t));
        g->nwords += n;
        g->id[i] = id[i];
    }
    assert(g->nwords <= GROUP_MAX * cap_of(level));
}

/* Lays the words evenly into the nodes g->id, the last of which ends at `end`, and writes the
 * word that stands for each node to summary[]. */
static void scatter(const struct btree *b, const struct group *g, unsigned level, uint32_t end,
                    uint64_t *summary)
{
    assert(g->nnodes > 0 && g->nnodes <= GROUP_MAX + 1);
    int done = 0;
    for (int i = 0; i < g->nnodes; i++) {
        struct node *x = node_at(b, g->id[i]);
        int n = (g->nwords - done) / (g->nnodes - i);
        assert(n <= cap_of(level)); /* nnodes_wanted gave too few nodes */
        memcpy(x->word, g->word + done, (size_t)n * sizeof(uint64_t));
        if (level > 0)
            memcpy(x->child, g->child + done, (size_t)n * sizeof(uint32_t));
        x->nwords = (uint16_t)n;
        done += n;
        summary[i] = summary_of(x, done < g->nwords ? high_of(g->word[done]) : end);
    }
    assert(done == g->nwords); /* no word is lost */
}

/* Replaces, in the parent of nwords, the `before` children from `first` on by those of the
 * group. */
static void adopt(struct node *parent, int nwords, int first, int before, const struct group *g,
                  const uint64_t *summary)
{
    assert(first >= 0 && before > 0 && first + before <= nwords);
    assert(nwords + g->nnodes - before <= INNER_CAP); /* the parent has room */
    size_t after = (size_t)(nwords - first - before);
    memmove(parent->word + first + g->nnodes, parent->word + first + before,
            after * sizeof(uint64_t));
    memmove(parent->child + first + g->nnodes, parent->child + first + before,
            after * sizeof(uint32_t));
    memcpy(parent->word + first, summary, (size_t)g->nnodes * sizeof(uint64_t));
    memcpy(parent->child + first, g->id, (size_t)g->nnodes * sizeof(uint32_t));
    parent->nwords = (uint16_t)(nwords + g->nnodes - before);
}

/* Returns how many nodes the words of `nnodes` should fill: one more if they are full and a word is
 * about to be added, one less if they fit into that. One place is left in each node, so that the
 * next change does not undo this one. */
static int nnodes_wanted(int nwords, int nnodes, unsigned level, bool grow)
{
    assert(nnodes > 0 && nnodes <= GROUP_MAX);
    int cap = cap_of(level) - 1;
    if (grow)
        return nwords <= nnodes * cap ? nnodes : nnodes + 1;
    return nnodes > 1 && nwords <= (nnodes - 1) * cap ? nnodes - 1 : nnodes;
}

/* Evens out the node at `level` of the cursor and its neighbours, with a node more or a node
 * less as needed [BT3]. The parent has room for another. Afterwards the cursor is void.
 *
 *     [30][31][30][30][30] => [25][25][25][25][25][26]
 *     [24][24][23][24][25] => [30][30][30][30] */
static void regroup(struct btree *b, const struct cursor *c, int level, bool grow)
{
    assert(level >= 0 && level < c->height); /* the root has no neighbours */
    const struct step *up = &c->step[level + 1];
    struct node *parent = node_of(up);
    int nwords = up->nwords, before = nwords < GROUP_MAX ? nwords : GROUP_MAX;
    int first = up->index > before / 2 ? up->index - before / 2 : 0;
    if (first > nwords - before)
        first = nwords - before;
    assert(first >= 0 && nwords <= INNER_CAP);
    uint32_t end =
        first + before < nwords ? high_of(parent->word[first + before]) : end_at(b, c, level + 2);
    struct group g;
    uint64_t summary[GROUP_MAX + 1];
    uint32_t surplus = parent->child[first + before - 1];
    gather(b, &g, (unsigned)level, parent->child + first, before);
    g.nnodes = nnodes_wanted(g.nwords, before, (unsigned)level, grow);
    if (nwords + g.nnodes - before > INNER_CAP)
        return; /* BT3 is broken */
    if (g.nnodes > before)
        g.id[before] = node_take(b, c->order, (unsigned)level);
    scatter(b, &g, (unsigned)level, end, summary);
    adopt(parent, nwords, first, before, &g, summary);
    if (g.nnodes < before)
        node_give_back(b, surplus);
}

/* Makes a full array the leaves of a new tree. The words wait on the stack meanwhile, since the
 * nodes need the array's memory:
 *
 *     | by size | 144 words |              =>  | by size | leaf .. leaf | root | */
static void array_to_tree(struct btree *b, enum order order)
{
    enum { NLEAVES = GROUP_MAX };
    struct tree *t = &b->tree[order];
    uint64_t word[ARRAY_MAX];
    int nwords = (int)t->nwords;
    assert(nwords == ARRAY_MAX && t->height == 0); /* or the copy is too long or too short */
    memcpy(word, array_of(b, order), sizeof word);
    arrays_move(b, array_of(b, order), -nwords);
    t->height = 1;
    t->root = node_take(b, order, 1);
    int done = 0;
    for (int i = 0; i < NLEAVES; i++) {
        uint32_t id = node_take(b, order, 0);
        struct node *x = node_at(b, id), *root = node_at(b, t->root);
        int n = (nwords - done) / (NLEAVES - i);
        assert(n >= LEAF_MIN && n < LEAF_CAP); /* BT3, and a place left in each */
        memcpy(x->word, word + done, (size_t)n * sizeof(uint64_t));
        x->nwords = (uint16_t)n;
        done += n;
        root->word[i] = summary_of(x, done < nwords ? high_of(word[done]) : b->top);
        root->child[i] = id;
        root->nwords++;
    }
}

/* Makes a tree that has become short, a root and its leaves, an array again. */
static void tree_to_array(struct btree *b, enum order order)
{
    struct tree *t = &b->tree[order];
    uint64_t word[ARRAY_AGAIN];
    uint32_t id[INNER_CAP + 1] = {t->root};
    int nnodes = 1, nwords = 0;
    const struct node *root = node_at(b, t->root);
    for (int i = 0; i < nwords_of(root, 1); i++) {
        const struct node *x = node_at(b, root->child[i]);
        int n = nwords_of(x, 0);
        n = n <= ARRAY_AGAIN - nwords ? n : ARRAY_AGAIN - nwords; /* of a whole tree, all */
        memcpy(word + nwords, x->word, (size_t)n * sizeof(uint64_t));
        nwords += n;
        id[nnodes++] = root->child[i];
    }
    assert(nwords <= ARRAY_AGAIN && nnodes <= INNER_CAP + 1); /* all fits on the stack */
    /* The highest first: then the node that moves into its place [BT1] is never one of these. */
    while (nnodes > 0) {
        int highest = 0;
        for (int i = 1; i < nnodes; i++)
            highest = id[i] > id[highest] ? i : highest;
        node_give_back(b, id[highest]);
        id[highest] = id[--nnodes];
    }
    t->height = 0;
    t->nwords = 0;
    for (int i = 0; i < nwords; i++)
        array_insert(b, order, i, word[i]);
}

/* Puts a new root above a full one, so that the full one can be split: a group of one node
 * becomes two. This is the only way in which a tree gains a level. */
static void grow_root(struct btree *b, enum order order)
{
    struct tree *t = &b->tree[order];
    assert(t->height < HEIGHT_MAX);
    uint32_t id = node_take(b, order, t->height + 1);
    struct node *root = node_at(b, id);
    root->word[0] = summary_of(node_at(b, t->root), b->top);
    root->child[0] = t->root;
    root->nwords = 1;
    t->root = id;
    t->height++;
}

/* Makes room in the full leaf at the cursor; or, if all nodes on the way up are full, in the
 * lowest one that has no full parent. The cursor is void, and the leaf may have to be asked for
 * again. */
static void make_room(struct btree *b, const struct cursor *c)
{
    assert(c->step[0].nwords == LEAF_CAP); /* else there is room */
    assert(c->height > 0);                 /* an array has no nodes */
    int level = 0;
    while (level < c->height && c->step[level + 1].nwords == INNER_CAP)
        level++;
    if (level < c->height)
        regroup(b, c, level, true);
    else if (level < HEIGHT_MAX) /* else BT3 is broken */
        grow_root(b, c->order);
}

/* Makes BT3 true again, from the leaf up in which `key` is sought, after a word has gone from
 * it. Then takes away a root with a single child, and a tree that is short enough for an array. */
static void shrink(struct btree *b, enum order order, uint64_t key)
{
    struct tree *t = &b->tree[order];
    for (int level = 0; level < (int)t->height; level++) {
        struct cursor c;
        btree_floor(b, order, key, &c); /* anew: on the level below, nodes may have moved */
        if (c.step[level].nwords >= min_of((unsigned)level))
            break;
        regroup(b, &c, level, false);
    }
    while (t->height > 1 && nwords_of(node_at(b, t->root), t->height) == 1) {
        uint32_t old = t->root;
        t->root = node_at(b, old)->child[0];
        t->height--;
        node_give_back(b, old);
    }
    assert(t->height > 0);
    if (t->nwords <= ARRAY_AGAIN)
        tree_to_array(b, order);
}

/* --- changing -------------------------------------------------------------- */

/* Adds a word to the sum or takes it out again; the order does not matter. One bit that changes
 * in a word changes the product by 2^32 or more, so the sum changes, too; and the halves of
 * words cannot change places unnoticed. */
static uint32_t add_to_sum(uint32_t sum, uint64_t word)
{
    return sum ^ (uint32_t)(word * 0x9E3779B97F4A7C15 >> 32);
}

/* Makes room first, so that the insertion itself stays within one leaf. The rest is for BT2: by
 * address, the new word may cut a chunk in two, and then the longest free chunk below may become
 * shorter:
 *
 *     [--- before, free ---]      =>  [before, free][ new ]
 *     cut.was = its whole length      cut.is = the longer of both, as far as they are free */
void btree_insert(struct btree *b, struct cursor *c, uint64_t word)
{
    assert(c->order == BY_ADDRESS || c->order == BY_SIZE);
    assert(c->step[0].index >= BEFORE_FIRST &&
           c->step[0].index < c->step[0].nwords); /* the cursor was set */
    struct tree *t = &b->tree[c->order];
    uint64_t key = key_of(c->order, word);
    if (t->height == 0 && t->nwords == ARRAY_MAX) {
        array_to_tree(b, c->order);
        btree_floor(b, c->order, key, c);
    }
    if (t->height == 0) {
        b->sum = add_to_sum(b->sum, word);
        array_insert(b, c->order, c->step[0].index + 1, word);
        return;
    }
    for (int i = 0; i < 2 * HEIGHT_MAX && c->step[0].nwords == LEAF_CAP; i++) {
        make_room(b, c);
        btree_floor(b, c->order, key, c);
    }
    struct step *s = &c->step[0];
    if (s->nwords == LEAF_CAP)
        return; /* BT3 is broken */
    assert(c->height == (int)t->height && s->nwords < LEAF_CAP);
    uint64_t *at = s->word + s->index + 1;
    memmove(at + 1, at, (size_t)(s->nwords - s->index - 1) * sizeof *at);
    *at = word;
    b->sum = add_to_sum(b->sum, word);
    s->nwords++;
    node_of(s)->nwords = (uint16_t)s->nwords;
    t->nwords++;
    uint32_t start = high_of(word), end = end_of(b, c, s->index + 1);
    struct change cut = {.is = free_length(word, end)};
    if (s->index != BEFORE_FIRST && low_of(at[-1]) == 0) {
        cut.was = end - high_of(at[-1]);
        cut.is = longer_of(cut.is, start - high_of(at[-1]));
    }
    refresh(b, c, cut);
}

/* By address, the chunk before the one that goes reaches further now, and all summaries above
 * must say so:
 *
 *     [before][ gone ][next]      =>  [---- before ----][next]
 *
 * If the word was the first of its leaf, `before` lies in another leaf; then both leaves have
 * summaries to refresh. Last comes the balance, since it may move nodes: until then the cursor
 * is good. */
void btree_remove(struct btree *b, struct cursor *c)
{
    struct tree *t = &b->tree[c->order];
    struct step *s = &c->step[0];
    if (s->index == BEFORE_FIRST)
        return;
    assert(s->index >= 0 && s->index < s->nwords);
    assert(c->height == (int)t->height); /* the cursor is of this tree as it is now */
    uint64_t *at = s->word + s->index;
    uint64_t gone = *at;
    b->sum = add_to_sum(b->sum, gone);
    if (t->height == 0) {
        array_remove(b, c->order, s->index);
        s->word = array_of(b, c->order);
        s->nwords = (int)t->nwords;
        s->index--;
        return;
    }
    uint32_t start = high_of(gone), end = end_of(b, c, s->index);
    memmove(at, at + 1, (size_t)(s->nwords - s->index - 1) * sizeof *at);
    s->nwords--;
    node_of(s)->nwords = (uint16_t)s->nwords;
    t->nwords--;
    bool shrunk = s->nwords < LEAF_MIN || t->nwords <= ARRAY_AGAIN;
    uint64_t stays = key_of(c->order, s->word[0]);
    struct change change = {.was = free_length(gone, end)};
    if (s->index == 0) {
        refresh(b, c, change);
        if (!btree_prev(b, c))
            s->index = BEFORE_FIRST;
    } else {
        s->index--;
    }
    /* The chunk before now reaches further. It may be the last one of another leaf. */
    if (c->order == BY_ADDRESS && s->index != BEFORE_FIRST) {
        uint64_t before = cursor_word(c);
        change.was = longer_of(change.was, free_length(before, start));
        change.is = free_length(before, end);
    }
    if (s->index != BEFORE_FIRST)
        refresh(b, c, change);
    if (shrunk) {
        shrink(b, c->order, stays);
        btree_floor(b, c->order, gone, c);
    }
}

/* The word keeps its place and its start; by address only its state changes, between free and
 * live or from one slack to another. */
void btree_update(struct btree *b, struct cursor *c, uint64_t word)
{
    if (c->step[0].index == BEFORE_FIRST)
        return;
    assert(c->step[0].index >= 0 && c->step[0].index < c->step[0].nwords);
    uint64_t *at = &c->step[0].word[c->step[0].index];
    uint32_t end = end_of(b, c, c->step[0].index);
    struct change change = {free_length(*at, end), free_length(word, end)};
    b->sum = add_to_sum(add_to_sum(b->sum, *at), word);
    *at = word;
    refresh(b, c, change);
}

/* --- check ----------------------------------------------------------------- */

struct census {
    uint64_t nwords, nnodes;
    uint64_t last; /* the word before, for the order */
    uint32_t sum;
    bool started;
};

/* Checks a node that ends at `end`, and all below it, and counts what it finds. */
static bool node_is_valid(const struct btree *b, enum order order, uint32_t id, unsigned level,
                          uint32_t end, bool may_be_small, struct census *census)
{
    if (id >= b->nnodes)
        return false;
    const struct node *x = node_at(b, id);
    if (x->order != order || x->level != level || x->nwords == 0 || x->nwords > cap_of(level))
        return false;
    if (!may_be_small && x->nwords < min_of(level))
        return false;
    census->nnodes++; /* the words of a node that is there twice are not in order */
    for (int i = 0; i < x->nwords; i++) {
        uint32_t stop = i + 1 < x->nwords ? high_of(x->word[i + 1]) : end;
        if (level > 0) {
            bool few = level == b->tree[order].height && x->nwords < GROUP_MAX;
            if (!node_is_valid(b, order, x->child[i], level - 1, stop, few, census) ||
                x->word[i] != summary_of(node_at(b, x->child[i]), stop))
                return false;
            continue;
        }
        if (census->started && x->word[i] <= census->last)
            return false;
        census->last = x->word[i];
        census->sum = add_to_sum(census->sum, x->word[i]);
        census->started = true;
        census->nwords++;
    }
    return true;
}

/* Checks that the words of an array are in order, and adds them to the sum. */
static bool array_is_valid(const uint64_t *word, uint32_t nwords, uint32_t *sum)
{
    for (uint32_t i = 0; i < nwords; i++) {
        if (i > 0 && word[i - 1] >= word[i])
            return false;
        *sum = add_to_sum(*sum, word[i]);
    }
    return true;
}

/* What a node or an array says is compared with the numbers of the btree, and the sum with
 * BT6's, which covers what no other rule does: the very words. */
bool btree_is_valid(const struct btree *b)
{
    uint64_t nnodes = 0;
    uint32_t sum = 0;
    if (!btree_is_sane(b))
        return false;
    for (int o = BY_ADDRESS; o <= BY_SIZE; o++) {
        const struct tree *t = &b->tree[o];
        struct census census = {0};
        if (t->height == 0 && !array_is_valid(array_of(b, (enum order)o), t->nwords, &sum))
            return false;
        if (t->height > 0 &&
            (!node_is_valid(b, (enum order)o, t->root, t->height, b->top, true, &census) ||
             census.nwords != t->nwords))
            return false;
        nnodes += census.nnodes;
        sum ^= census.sum;
    }
    return nnodes == b->nnodes && sum == b->sum; /* BT1: none lost, none twice */
}
