/* SPDX-License-Identifier: MIT
 *
 * btree.c - checks BT1 to BT5 (src/ledger/btree.h).
 *
 * The memory bound is counted out for every number of words. Then the two sequences go through
 * every pattern of inserting and removing that is known to be hard on a B-tree, and are compared
 * with plain arrays. Last, the checker is shown to see each kind of damage.
 *
 * A key is a small number. By address it is where a chunk starts; by size it becomes a length and
 * a start, so that several words have equal lengths. mark[] says for each key whether its word is
 * present: it is the sorted array to compare with.
 */
#include "unit.h"

#include "ledger/btree.h"

enum { NKEYS = 1 << 19, NODE_BYTES = 256, NHEIGHTS = 5 };

static _Alignas(256) unsigned char arena[(size_t)NKEYS * BTREE_COST + NODE_BYTES];
/* 0 if the word is absent, else the state of the word, plus 1. */
static unsigned char mark[2][NKEYS];
static struct btree b;
static uint64_t dice;
static bool seen_height[2][NHEIGHTS];
static double worst_ratio;
static uint32_t steps_to_check;

/* --- BT4, counted ----------------------------------------------------------- */

/* Returns the largest number of nodes over which n words of one level can be spread. By BT3 each
 * node has `min` words if there are GROUP_MAX nodes or more. Fewer nodes form one group, which
 * was evened out over k nodes only because k - 1 nodes with one free place each could not hold
 * the words. */
static uint64_t nodes_max(uint64_t n, uint64_t min, uint64_t cap)
{
    uint64_t k = n / min;
    if (k >= GROUP_MAX)
        return k;
    k = GROUP_MAX - 1;
    while (k > 1 && n < (k - 1) * (cap - 1) + 1)
        k--;
    return k;
}

/* Returns the largest number of nodes of a whole tree. *height is set to that of the tallest
 * tree. */
static uint64_t tree_nodes_max(uint64_t nwords, uint32_t *height)
{
    uint64_t level = nodes_max(nwords, LEAF_MIN, LEAF_CAP), sum = level;
    for (*height = 0; level > 1; ++*height) {
        level = nodes_max(level, INNER_MIN, INNER_CAP);
        sum += level;
    }
    return sum;
}

static uint64_t sequence_nbytes_max(uint64_t nwords)
{
    uint32_t height;
    uint64_t array = nwords <= ARRAY_MAX ? nwords * sizeof(uint64_t) : 0;
    uint64_t tree = nwords > ARRAY_AGAIN ? tree_nodes_max(nwords, &height) * NODE_BYTES : 0;
    return array > tree ? array : tree;
}

static void test_bt4_every_number_of_words(void **state)
{
    (void)state;
    uint64_t by_size_max = 0, worst_n = 0;
    double worst = 0;
    for (uint64_t n = 1; n <= 200000; n++) {
        uint64_t by_size = sequence_nbytes_max(n / 2);
        /* Fewer words may need more bytes. */
        by_size_max = by_size > by_size_max ? by_size : by_size_max;
        uint64_t nbytes = sequence_nbytes_max(n) + by_size_max;
        assert_true(nbytes <= BTREE_COST * n);
        if ((double)nbytes / (double)n > worst) {
            worst = (double)nbytes / (double)n;
            worst_n = n;
        }
    }
    print_message("# BT4: at most %.2f bytes a word, at %lu words\n", worst,
                  (unsigned long)worst_n);
    assert_true(worst > BTREE_COST - 1); /* Else BTREE_COST would be larger than it needs to be. */
}

static void test_bt4_as_far_as_a_region_reaches(void **state)
{
    (void)state;
    uint32_t height = 0;
    for (uint64_t n = 200000; n <= (uint64_t)1 << 32; n += n / 1000) {
        uint64_t nbytes =
            (tree_nodes_max(n, &height) + tree_nodes_max(n / 2, &height)) * NODE_BYTES;
        assert_true(nbytes <= BTREE_COST * n);
    }
    tree_nodes_max((uint64_t)1 << 32, &height);
    assert_true(height <= HEIGHT_MAX);
}

/* --- the two sequences, and what they should be ------------------------------ */

static uint64_t word_for(enum order order, uint32_t key, uint32_t state)
{
    return order == BY_ADDRESS ? word_of(key, state) : word_of(key / 7 + 1, key % 7);
}

static uint64_t key_for(enum order order, uint32_t key)
{
    return order == BY_ADDRESS ? word_of(key, UINT32_MAX) : word_for(order, key, 0);
}

static uint32_t nwords(enum order order)
{
    return b.tree[order].nwords;
}

static void open_btree(void)
{
    memset(mark, 0, sizeof mark);
    btree_open(&b, arena + sizeof arena, sizeof arena);
    b.top = NKEYS;
    dice = 88172645463325252u;
    steps_to_check = 0;
}

/* Checks BT1 to BT3 by the library's own count: at every step while that is cheap, else at
 * intervals. */
static void after_step(void)
{
    uint32_t n = nwords(BY_ADDRESS);
    assert_true(2 * nwords(BY_SIZE) <= n);
    assert_true(btree_nbytes(&b) <= (size_t)BTREE_COST * n);
    if (n > 0 && (double)btree_nbytes(&b) / n > worst_ratio)
        worst_ratio = (double)btree_nbytes(&b) / n;
    for (int o = BY_ADDRESS; o <= BY_SIZE; o++)
        seen_height[o][b.tree[o].height] = true;
    if (steps_to_check-- > 0)
        return;
    steps_to_check = n < 700 ? 0 : n / 32;
    assert_true(btree_is_valid(&b));
}

static void put(enum order order, uint32_t key)
{
    struct cursor c;
    uint32_t state = order == BY_ADDRESS && rnd(&dice, 2) == 0 ? 0 : 1 + key % 16;
    if (mark[order][key] != 0)
        return;
    btree_floor(&b, order, key_for(order, key), &c);
    btree_insert(&b, &c, word_for(order, key, state));
    mark[order][key] = (unsigned char)(state + 1);
    after_step();
}

static void drop(enum order order, uint32_t key)
{
    struct cursor c;
    if (mark[order][key] == 0)
        return;
    assert_true(btree_floor(&b, order, key_for(order, key), &c));
    assert_true(cursor_word(&c) == word_for(order, key, mark[order][key] - 1u));
    btree_remove(&b, &c);
    mark[order][key] = 0;
    after_step();
}

static void change(uint32_t key)
{
    struct cursor c;
    if (mark[BY_ADDRESS][key] == 0)
        return;
    uint32_t state = mark[BY_ADDRESS][key] == 1 ? 1 + rnd(&dice, 16) : 0;
    assert_true(btree_floor(&b, BY_ADDRESS, key_for(BY_ADDRESS, key), &c));
    btree_update(&b, &c, word_of(key, state));
    mark[BY_ADDRESS][key] = (unsigned char)(state + 1);
    after_step();
}

/* Walks from the last word to the first and up again: the words must be exactly the marked ones.
 * btree_before and btree_after must say in advance where each step leads. */
static void assert_contents(enum order order, uint32_t below)
{
    struct cursor c;
    uint64_t next = 0;
    bool any = btree_last(&b, order, &c);
    uint32_t left = nwords(order);
    assert_int_equal(any, left > 0);
    for (uint32_t key = below; key-- > 0;) {
        if (mark[order][key] == 0)
            continue;
        assert_true(cursor_word(&c) == word_for(order, key, mark[order][key] - 1u));
        left--;
        assert_int_equal(btree_before(&b, &c, &next), left > 0);
        assert_int_equal(btree_prev(&b, &c), left > 0);
        assert_true(left == 0 || cursor_word(&c) == next);
    }
    assert_int_equal(left, 0);
    for (uint32_t key = 0; any && key < below; key++) {
        if (mark[order][key] == 0)
            continue;
        assert_true(cursor_word(&c) == word_for(order, key, mark[order][key] - 1u));
        left++;
        assert_int_equal(btree_after(&b, &c, &next), left < nwords(order));
        assert_int_equal(btree_next(&b, &c), left < nwords(order));
        assert_true(left == nwords(order) || cursor_word(&c) == next);
    }
}

/* The orders in which the keys 0 to n - 1 are visited. */
enum pattern { ASCENDING, DESCENDING, INSIDE_OUT, OUTSIDE_IN, EVERY_31ST, SCATTERED, NPATTERNS };

static uint32_t nth_key(enum pattern pattern, uint32_t i, uint32_t n)
{
    switch (pattern) {
    case DESCENDING:
        return n - 1 - i;
    case INSIDE_OUT:
        return i % 2 ? (n + 1) / 2 + i / 2 : (n - 1) / 2 - i / 2;
    case OUTSIDE_IN:
        return i % 2 ? n - 1 - i / 2 : i / 2;
    case EVERY_31ST: /* The keys 0, 31, 62, ... 1, 32, 63, ... */
    {
        uint32_t long_rows = n % 31, row = n / 31, split = long_rows * (row + 1);
        return i < split ? i / (row + 1) + i % (row + 1) * 31
                         : long_rows + (i - split) / row + (i - split) % row * 31;
    }
    case SCATTERED:
        return (uint32_t)((i * (uint64_t)2654435761u) % n); /* The factor is a prime. */
    default:
        return i;
    }
}

static void test_patterns_are_permutations(void **state)
{
    (void)state;
    for (int p = 0; p < NPATTERNS; p++) {
        for (uint32_t n = 1; n < 200; n++) {
            bool hit[200] = {false};
            for (uint32_t i = 0; i < n; i++) {
                uint32_t key = nth_key((enum pattern)p, i, n);
                assert_true(key < n && !hit[key]);
                hit[key] = true;
            }
        }
    }
}

static void fill(enum pattern pattern, uint32_t n)
{
    uint32_t half = n / 2;
    for (uint32_t i = 0, done = 0; i < n; i++) {
        put(BY_ADDRESS, nth_key(pattern, i, n));
        while (done < half && 2 * (nwords(BY_SIZE) + 1) <= nwords(BY_ADDRESS))
            put(BY_SIZE, nth_key(pattern, done++, half));
    }
}

static void empty(enum pattern pattern, uint32_t n)
{
    uint32_t half = n / 2;
    for (uint32_t i = 0, done = 0; i < n; i++) {
        while (done < half && 2 * nwords(BY_SIZE) >= nwords(BY_ADDRESS))
            drop(BY_SIZE, nth_key(pattern, done++, half));
        drop(BY_ADDRESS, nth_key(pattern, i, n));
    }
}

static void fill_and_empty(enum pattern in, enum pattern out, uint32_t n)
{
    open_btree();
    fill(in, n);
    assert_int_equal(nwords(BY_ADDRESS), n);
    assert_int_equal(nwords(BY_SIZE), n / 2);
    assert_contents(BY_ADDRESS, n);
    assert_contents(BY_SIZE, n);
    empty(out, n);
    assert_int_equal(nwords(BY_ADDRESS), 0);
    assert_int_equal(btree_nbytes(&b), 0);
}

static void test_bt1_bt2_bt3_every_pair_of_patterns(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 2, 100, ARRAY_MAX, ARRAY_MAX + 1, 2 * ARRAY_MAX + 2, 640};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int in = 0; in < NPATTERNS; in++)
            for (int out = 0; out < NPATTERNS; out++)
                fill_and_empty((enum pattern)in, (enum pattern)out, sizes[i]);
}

static void test_bt1_bt2_bt3_tall_trees(void **state)
{
    (void)state;
    for (int p = 0; p < NPATTERNS; p++)
        fill_and_empty((enum pattern)p, (enum pattern)((p + 1) % NPATTERNS), 30000);
    open_btree();
    fill(SCATTERED, NKEYS);
    assert_contents(BY_ADDRESS, NKEYS);
    assert_contents(BY_SIZE, NKEYS);
    empty(EVERY_31ST, NKEYS);
}

/* Removes every k-th word, then every k-th of the remaining ones, and so on. */
static void test_bt3_every_kth_removed(void **state)
{
    (void)state;
    for (uint32_t k = 2; k < 40; k += 3) {
        open_btree();
        fill(ASCENDING, 2000);
        for (uint32_t round = 0; round < k; round++)
            for (uint32_t key = round; key < 2000; key += k) {
                drop(BY_SIZE, key / 2);
                while (2 * nwords(BY_SIZE) + 1 > nwords(BY_ADDRESS) && nwords(BY_SIZE) > 0)
                    drop(BY_SIZE, rnd(&dice, 1000));
                drop(BY_ADDRESS, key);
            }
        assert_int_equal(btree_nbytes(&b), 0);
    }
}

static uint32_t some_key(enum order order, uint32_t below, bool present)
{
    uint32_t key = rnd(&dice, below);
    while ((mark[order][key] != 0) != present)
        key = (key + 1) % below;
    return key;
}

static void sawtooth(enum order order, uint32_t low, uint32_t high, uint32_t below)
{
    while (nwords(order) < high)
        put(order, some_key(order, below, false));
    while (nwords(order) > low)
        drop(order, some_key(order, below, true));
}

static void test_bt4_sawtooth_between_array_and_tree(void **state)
{
    (void)state;
    open_btree();
    sawtooth(BY_ADDRESS, ARRAY_MAX, ARRAY_MAX, 1000);
    for (uint32_t i = 0; i < 60; i++)
        sawtooth(BY_ADDRESS, ARRAY_AGAIN - i % 3, ARRAY_MAX + i % 4, 1000);
    sawtooth(BY_ADDRESS, 400, 400, 1000);
    for (uint32_t i = 0; i < 60; i++)
        sawtooth(BY_SIZE, ARRAY_AGAIN - i % 3, ARRAY_MAX + i % 4, 1000);
    for (uint32_t i = 0; i < 60; i++) /* The array by size moves with each node by address. */
        sawtooth(BY_ADDRESS, 300, 330 + i * 5, 1000);
    assert_contents(BY_ADDRESS, NKEYS);
    assert_contents(BY_SIZE, NKEYS);
}

/* Moves the tree back and forth across a change of height. */
static void flutter(enum order order, uint32_t height)
{
    for (int i = 0; i < 4; i++) {
        while (b.tree[order].height < height) {
            while (order == BY_SIZE && 2 * (nwords(BY_SIZE) + 1) > nwords(BY_ADDRESS))
                put(BY_ADDRESS, some_key(BY_ADDRESS, NKEYS, false));
            put(order, some_key(order, NKEYS, false));
        }
        assert_true(btree_is_valid(&b));
        while (b.tree[order].height == height)
            drop(order, some_key(order, NKEYS, true));
        assert_true(btree_is_valid(&b));
    }
}

static void test_bt2_bt3_around_each_height(void **state)
{
    (void)state;
    for (uint32_t height = 1; height < NHEIGHTS - 1; height++) {
        open_btree();
        flutter(BY_ADDRESS, height);
        open_btree();
        flutter(BY_SIZE, height);
    }
    assert_contents(BY_ADDRESS, NKEYS);
    assert_contents(BY_SIZE, NKEYS);
}

/* Takes words only from leaves that can spare one, so that every leaf ends at LEAF_MIN words. */
static void thin_out(enum order order, uint32_t below)
{
    for (uint32_t key = 0; key < below; key++) {
        struct cursor c;
        if (mark[order][key] == 0)
            continue;
        btree_floor(&b, order, key_for(order, key), &c);
        bool can_spare = c.height > 0 && c.step[0].nwords > LEAF_MIN;
        if (can_spare && (order == BY_SIZE || 2 * nwords(BY_SIZE) < nwords(BY_ADDRESS)))
            drop(order, key);
    }
}

static void test_bt4_leaves_as_thin_as_can_be(void **state)
{
    (void)state;
    worst_ratio = 0;
    for (uint32_t n = 280; n < 1000; n += 7) {
        open_btree();
        fill(n % 2 ? ASCENDING : SCATTERED, n);
        for (int i = 0; i < 3; i++) {
            thin_out(BY_SIZE, n);
            thin_out(BY_ADDRESS, n);
        }
    }
    print_message("# BT4: %.2f bytes a word reached\n", worst_ratio);
    assert_true(worst_ratio > BTREE_COST - 1); /* The bound is nearly reached. */
}

/* A free chunk that begins below 2^31 and ends above it is cut: 32 bits hold each of these numbers,
 * and not the sum of two. */
static void test_bt2_around_the_middle(void **state)
{
    (void)state;
    enum { NLIVE = 300, LONG = 100 };
    const uint32_t middle = (uint32_t)1 << 31;
    struct cursor c;
    open_btree();
    b.top = middle + 2 * LONG + NLIVE;
    for (uint32_t i = 0; i <= 2 * NLIVE; i++) {
        uint32_t start = middle - LONG - NLIVE + i + (i > NLIVE ? 2 * LONG : 0);
        btree_floor(&b, BY_ADDRESS, key_for(BY_ADDRESS, start), &c);
        btree_insert(&b, &c, word_of(start, i != NLIVE));
        assert_true(btree_is_valid(&b));
    }
    btree_floor(&b, BY_ADDRESS, key_for(BY_ADDRESS, middle), &c);
    btree_insert(&b, &c, word_of(middle, 1));
    assert_true(btree_is_valid(&b));
}

static void test_bt2_random(void **state)
{
    (void)state;
    open_btree();
    for (uint32_t i = 0, below = 0; i < 200000; i++) {
        if (i % 20000 == 0)
            below = 300u << i / 20000;
        enum order order = rnd(&dice, 3) == 0 ? BY_SIZE : BY_ADDRESS;
        uint32_t key = rnd(&dice, below), f = nwords(BY_SIZE) + (order == BY_SIZE);
        if (rnd(&dice, 5) == 0)
            change(key);
        else if (rnd(&dice, 100) < (i / 5000 % 2 ? 70u : 30u)) {
            if (order == BY_ADDRESS || 2 * f <= nwords(BY_ADDRESS))
                put(order, key);
        } else if (order == BY_SIZE || 2 * f < nwords(BY_ADDRESS)) {
            drop(order, key);
        }
    }
    assert_contents(BY_ADDRESS, NKEYS);
    assert_contents(BY_SIZE, NKEYS);
}

static void test_heights_occurred(void **state)
{
    (void)state;
    for (int height = 0; height < NHEIGHTS; height++) {
        assert_true(seen_height[BY_ADDRESS][height]);
        assert_true(seen_height[BY_SIZE][height]);
    }
}

/* --- finding --------------------------------------------------------------- */

static void test_floor_and_ceil_at_every_key(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, 2, 144, 145, 700, 6000};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        open_btree();
        uint32_t n = sizes[s], below = 3 * n + 4;
        while (nwords(BY_ADDRESS) < n)
            put(BY_ADDRESS, 1 + rnd(&dice, below - 2));
        uint64_t floor = 0;
        for (uint32_t key = 0; key < below; key++) {
            struct cursor c;
            if (mark[BY_ADDRESS][key] != 0)
                floor = word_for(BY_ADDRESS, key, mark[BY_ADDRESS][key] - 1u);
            bool found = btree_floor(&b, BY_ADDRESS, key_for(BY_ADDRESS, key), &c);
            assert_int_equal(found, floor != 0);
            assert_true(found ? cursor_word(&c) == floor : c.step[0].index == BEFORE_FIRST);
            uint32_t next = key;
            while (next < below && mark[BY_ADDRESS][next] == 0)
                next++;
            found = btree_ceil(&b, BY_ADDRESS, word_of(key, 0) + (key == 0), &c);
            assert_int_equal(found, next < below);
            assert_true(!found || high_of(cursor_word(&c)) == next);
        }
    }
}

/* Returns the length of the chunk at `key` if it is free: the chunk ends at the next mark. */
static uint32_t free_length(uint32_t key)
{
    uint32_t end = key + 1;
    if (mark[BY_ADDRESS][key] != 1)
        return 0;
    while (end < NKEYS && mark[BY_ADDRESS][end] == 0)
        end++;
    return end - key;
}

static void assert_first_free(uint32_t ngranules, uint32_t below)
{
    struct cursor c;
    uint32_t key = 0;
    while (key < below && free_length(key) < ngranules)
        key++;
    bool found = btree_first_free(&b, ngranules, &c);
    assert_int_equal(found, key < below);
    if (!found)
        return;
    assert_int_equal(high_of(cursor_word(&c)), key);
    assert_int_equal(btree_chunk_end(&b, &c) - key, free_length(key));
}

static void assert_nearest_free(uint32_t key, uint32_t below)
{
    struct cursor at, c;
    uint32_t up = key, down = key;
    btree_floor(&b, BY_ADDRESS, key_for(BY_ADDRESS, key), &at);
    while (up < below && free_length(up) == 0)
        up++;
    while (down < below && free_length(down) == 0)
        down--; /* It wraps below 0, and then is not < below. */
    c = at;
    assert_int_equal(btree_free_above(&b, &c), up < below);
    assert_true(up >= below || high_of(cursor_word(&c)) == up);
    c = at;
    assert_int_equal(btree_free_below(&b, &c), down < below);
    assert_true(down >= below || high_of(cursor_word(&c)) == down);
}

static void test_bt2_first_free_and_nearest_free(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 10, 144, 145, 700, 4000};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        open_btree();
        uint32_t n = sizes[s], below = 3 * n;
        while (nwords(BY_ADDRESS) < n)
            put(BY_ADDRESS, rnd(&dice, below));
        for (uint32_t thin = 0; thin < 3; thin++) { /* There are fewer free chunks each time. */
            for (uint32_t g = 1; g < 40; g++)
                assert_first_free(g, below);
            for (uint32_t key = 0; key < below; key++) {
                if (mark[BY_ADDRESS][key] != 0)
                    assert_nearest_free(key, below);
                if (mark[BY_ADDRESS][key] == 1 && rnd(&dice, 8) > 0)
                    change(key);
            }
        }
    }
}

/* --- the checker can fail ---------------------------------------------------- */

/* A node as it lies in memory (src/ledger/btree.c). */
struct record {
    uint8_t order, level;
    uint16_t nwords;
    uint32_t unused;
    uint64_t word[LEAF_CAP];
};

static struct record *record_at(uint32_t id)
{
    return (struct record *)(arena + sizeof arena - ((size_t)id + 1) * NODE_BYTES);
}

static uint64_t nfaults;

/* Each bit of nbytes must make a difference to the checker. */
static void assert_each_bit_counts(void *at, size_t nbytes)
{
    unsigned char *byte = at;
    for (size_t bit = 0; bit < nbytes * 8; bit++) {
        byte[bit / 8] ^= (unsigned char)(1u << bit % 8);
        assert_false(btree_is_valid(&b));
        byte[bit / 8] ^= (unsigned char)(1u << bit % 8);
        nfaults++;
    }
}

static void assert_word_counts(uint64_t *word, uint64_t other)
{
    uint64_t keep = *word;
    *word = other;
    assert_false(btree_is_valid(&b));
    *word = keep;
    nfaults++;
}

static void swap(uint64_t *one, uint64_t *other)
{
    uint64_t keep = *one;
    *one = *other;
    *other = keep;
}

/* Two words that change places leave the sum of all words as it is. */
static void assert_order_counts(uint64_t *word)
{
    swap(&word[0], &word[1]);
    assert_false(btree_is_valid(&b));
    swap(&word[0], &word[1]);
    nfaults++;
}

static void damage_leaf(struct record *x)
{
    /* It becomes live, which the summary of the leaf does not show. */
    assert_word_counts(&x->word[0], x->word[0] ^ (uint64_t)1 << 32);
    for (int i = 1; i < x->nwords; i++) {
        assert_word_counts(&x->word[i], x->word[i - 1]);     /* Equal to the word before it. */
        assert_word_counts(&x->word[i], x->word[i - 1] - 1); /* Less than the word before it. */
        if (i > 1)
            assert_order_counts(&x->word[i - 1]);
    }
}

static void damage_node(struct record *x)
{
    assert_each_bit_counts(&x->order, sizeof x->order);
    assert_each_bit_counts(&x->level, sizeof x->level);
    assert_each_bit_counts(&x->nwords, sizeof x->nwords);
    if (x->level == 0) {
        damage_leaf(x);
    } else {
        assert_each_bit_counts(x->word, x->nwords * sizeof(uint64_t));
        assert_each_bit_counts(x->word + INNER_CAP, x->nwords * sizeof(uint32_t));
    }
}

static void test_checker_sees_damage_in_each_node(void **state)
{
    (void)state;
    open_btree();
    fill(SCATTERED, 1600);
    assert_int_equal(b.tree[BY_ADDRESS].height, 2);
    for (uint32_t id = 0; id < b.nnodes; id++)
        damage_node(record_at(id));
    assert_true(btree_is_valid(&b));
    assert_true(nfaults > 10000);
}

static void test_checker_sees_a_free_chunk_hidden(void **state)
{
    (void)state;
    open_btree();
    fill(ASCENDING, 300);
    change(some_key(BY_ADDRESS, 300, true));
    uint32_t nhidden = 0;
    for (uint32_t id = 0; id < b.nnodes; id++) {
        struct record *x = record_at(id), keep = *x;
        if (x->order != BY_ADDRESS || x->level > 0)
            continue;
        for (int i = 0; i < x->nwords; i++)
            /* All chunks become live, so the longest free one of the leaf is no longer the
             * recorded one. */
            x->word[i] |= 1;
        if (memcmp(x, &keep, sizeof keep) != 0) {
            assert_false(btree_is_valid(&b));
            nhidden++;
        }
        *x = keep;
    }
    assert_true(nhidden > 5);
}

static void test_checker_sees_damage_in_the_counts(void **state)
{
    (void)state;
    open_btree();
    fill(ASCENDING, 900);
    assert_each_bit_counts(&b.nnodes, 2);
    for (int o = BY_ADDRESS; o <= BY_SIZE; o++) {
        struct tree *t = &b.tree[o];
        assert_each_bit_counts(&t->nwords, sizeof t->nwords);
        assert_each_bit_counts(&t->root, sizeof t->root);
        assert_each_bit_counts(&t->height, sizeof t->height);
    }
    assert_true(btree_is_valid(&b));
    struct tree *t = &b.tree[BY_SIZE];
    uint32_t n = t->nwords;
    t->nwords = ARRAY_AGAIN; /* a tree has more words than that */
    assert_false(btree_is_sane(&b));
    t->nwords = n;
    size_t room = b.room;
    b.room = btree_nbytes(&b); /* the nodes take all of it, or more than there is */
    assert_true(btree_is_sane(&b));
    b.room -= GRANULE_BYTES;
    assert_false(btree_is_sane(&b));
    b.room = room;
}

static void test_checker_sees_damage_in_an_array(void **state)
{
    (void)state;
    open_btree();
    fill(ASCENDING, 100);
    uint64_t *by_size = (uint64_t *)(arena + sizeof arena - btree_nbytes(&b));
    assert_int_equal(btree_nbytes(&b), 150 * sizeof(uint64_t));
    for (int i = 1; i < 150; i++)
        if (i != 50) /* The first word by address lies behind the last by size. */
            assert_word_counts(&by_size[i], by_size[i - 1]);
    b.tree[BY_SIZE].nwords = ARRAY_MAX + 1;
    assert_false(btree_is_valid(&b));
}

/* Removes the last word of a leaf, and updates the count and the checksum of all words. */
static void lose_word(struct record *x)
{
    uint64_t word = x->word[--x->nwords];
    b.tree[x->order].nwords--;
    b.sum ^= (uint32_t)(word * 0x9E3779B97F4A7C15 >> 32);
}

/* Breaks BT3 and nothing else: a leaf of live chunks loses words from its end, which its summary
 * does not show, and the count of all words is corrected. */
static void test_checker_sees_a_node_too_small(void **state)
{
    (void)state;
    open_btree();
    fill(ASCENDING, 900);
    for (uint32_t key = 0; key < 900; key++)
        if (mark[BY_ADDRESS][key] == 1)
            change(key);
    struct record *x = record_at(0);
    while (x->level > 0 || x->order != BY_ADDRESS)
        x--;
    while (x->nwords > LEAF_MIN)
        lose_word(x);
    assert_true(btree_is_valid(&b));
    lose_word(x);
    assert_false(btree_is_valid(&b));
}

/* --- BT5: whatever is written over the nodes ------------------------------------------- */

enum { ROOM = 1 << 16 };
static _Alignas(256) unsigned char small[2 * ROOM]; /* the upper half is the room */

static void open_small(size_t room)
{
    memset(small, 0xA5, sizeof small);
    btree_open(&b, small + sizeof small, room);
}

static void assert_nothing_below(size_t room)
{
    size_t n = sizeof small - room;
    assert_int_equal(small[0], 0xA5);
    assert_memory_equal(small, small + 1, n - 1); /* each byte is like the next */
}

static void insert_small(enum order order, uint32_t start)
{
    struct cursor c;
    uint64_t word = word_of(start, order == BY_ADDRESS);
    btree_floor(&b, order, word, &c);
    btree_insert(&b, &c, word);
}

/* Words for which there is no room are lost, and nothing is written below the room. */
static void test_bt5_no_room(void **state)
{
    (void)state;
    for (size_t room = 0; room < 3 * ARRAY_MAX * sizeof(uint64_t); room += 40) {
        open_small(room);
        b.top = 1000;
        for (uint32_t i = 0; i < 2 * ARRAY_MAX; i++) {
            insert_small(BY_ADDRESS, i);
            insert_small(BY_SIZE, i);
        }
        assert_true(btree_nbytes(&b) <= room);
        assert_nothing_below(room);
    }
}

/* Writes something over the head of a node, or over one of its words or children. */
static void damage_some(void)
{
    unsigned char *node = small + sizeof small - (1 + rnd(&dice, b.nnodes)) * NODE_BYTES;
    uint16_t nwords[] = {0, 1, INNER_CAP, LEAF_CAP, LEAF_CAP + 1, UINT16_MAX};
    uint32_t child = rnd(&dice, 2) ? rnd(&dice, b.nnodes) : UINT32_MAX - rnd(&dice, 9);
    struct record *x = (struct record *)(void *)node;
    switch (rnd(&dice, 4)) {
    case 0:
        x->nwords = nwords[rnd(&dice, 6)];
        break;
    case 1:
        x->word[rnd(&dice, LEAF_CAP)] = (uint64_t)rnd(&dice, 5000) << 32;
        break;
    case 2:
        memcpy(node + 8 + INNER_CAP * 8 + 4 * rnd(&dice, INNER_CAP), &child, sizeof child);
        break;
    default:
        node[rnd(&dice, NODE_BYTES)] ^= (unsigned char)(1 << rnd(&dice, 8));
    }
}

/* Makes every node of a sequence say that it is full, as one that has room for no word would be. */
static void fill_nodes(void)
{
    for (uint32_t id = 0; id < b.nnodes; id++) {
        struct record *x = (struct record *)(void *)(small + sizeof small - (1 + id) * NODE_BYTES);
        x->nwords = x->level == 0 ? LEAF_CAP : INNER_CAP;
    }
}

/* Each call returns, and nothing is written below the room. */
static void test_bt5_any_damage(void **state)
{
    (void)state;
    enum { NROUNDS = 1500, NWORDS = 1000, NCALLS = 30 };
    static unsigned char whole[sizeof small];
    open_small(ROOM);
    b.top = 5000;
    for (uint32_t i = 0; i < NWORDS; i++) {
        insert_small(BY_ADDRESS, 4 * i);
        insert_small(BY_SIZE, 4 * i);
    }
    assert_true(b.tree[BY_ADDRESS].height > 1 && b.tree[BY_SIZE].height > 1);
    const struct btree keep = b;
    memcpy(whole, small, sizeof small);
    for (int round = 0; round < share_of(NROUNDS); round++) {
        if (round % 10 == 0)
            fill_nodes();
        for (uint32_t n = rnd(&dice, 6); n > 0; n--)
            damage_some();
        for (int i = 0; i < NCALLS; i++) {
            struct cursor c;
            enum order order = rnd(&dice, 2) ? BY_ADDRESS : BY_SIZE;
            uint64_t word = word_of(rnd(&dice, 4 * NWORDS), order == BY_ADDRESS);
            bool found = btree_floor(&b, order, word, &c);
            if (rnd(&dice, 3) > 0)
                btree_insert(&b, &c, word);
            else if (found)
                btree_remove(&b, &c);
        }
        assert_nothing_below(ROOM);
        b = keep;
        memcpy(small, whole, sizeof small);
    }
}

/* Only damage makes a tree whose nodes are all full as high as a tree can be: then there is no room
 * for a word, nor for a level, and nothing changes. */
static void test_bt5_no_room_for_a_level(void **state)
{
    (void)state;
    static unsigned char whole[sizeof small];
    open_small(ROOM);
    b.top = 5000;
    for (uint32_t i = 0; i < 1000; i++)
        insert_small(BY_ADDRESS, 4 * i);
    assert_true(b.nnodes > HEIGHT_MAX);
    for (uint32_t level = 0; level <= HEIGHT_MAX; level++) {
        unsigned char *node = small + sizeof small - (1 + (size_t)level) * NODE_BYTES;
        struct record *x = (struct record *)(void *)node;
        x->level = (uint8_t)level;
        x->nwords = level == 0 ? LEAF_CAP : INNER_CAP;
        for (uint32_t i = 0, child = level - 1; level > 0 && i < INNER_CAP; i++)
            memcpy(node + 8 + INNER_CAP * 8 + 4 * i, &child, sizeof child);
    }
    b.tree[BY_ADDRESS].height = b.tree[BY_ADDRESS].root = HEIGHT_MAX;
    assert_true(btree_is_sane(&b));
    const struct btree keep = b;
    memcpy(whole, small, sizeof small);
    insert_small(BY_ADDRESS, 2001);
    assert_memory_equal(&b, &keep, sizeof b);
    assert_memory_equal(small, whole, sizeof small);
}

/* For a reader without the lock: a node that would lie below the room is not read. Pages that
 * cannot be read lie there. */
static void test_bt5_a_child_below_the_room(void **state)
{
    (void)state;
    unsigned char *all = mmap(NULL, 2 * ROOM, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(all != MAP_FAILED);
    assert_int_equal(mprotect(all + ROOM, ROOM, PROT_READ | PROT_WRITE), 0);
    btree_open(&b, all + 2 * ROOM, ROOM);
    b.top = 5000;
    for (uint32_t i = 0; i < 1000; i++)
        insert_small(BY_ADDRESS, 4 * i);
    assert_true(b.tree[BY_ADDRESS].height > 0);
    uint64_t word;
    uint32_t end, root = b.tree[BY_ADDRESS].root;
    assert_true(btree_lookup(&b, ROOM, word_of(2000, UINT32_MAX), &word, &end));
    assert_int_equal(high_of(word), 2000);
    assert_int_equal(end, 2004);
    const uint32_t wrong[] = {ROOM / NODE_BYTES, ROOM / NODE_BYTES + 1, UINT32_MAX};
    unsigned char *node = b.end - ((size_t)root + 1) * NODE_BYTES;
    uint32_t child[INNER_CAP];
    memcpy(child, node + 8 + INNER_CAP * 8, sizeof child);
    for (int i = 0; i < 3; i++) {
        b.tree[BY_ADDRESS].root = wrong[i];
        assert_false(btree_lookup(&b, ROOM, word_of(2000, UINT32_MAX), &word, &end));
        b.tree[BY_ADDRESS].root = root;
        uint32_t wrong_children[INNER_CAP];
        for (int k = 0; k < INNER_CAP; k++)
            wrong_children[k] = wrong[i];
        memcpy(node + 8 + INNER_CAP * 8, wrong_children, sizeof wrong_children);
        assert_false(btree_lookup(&b, ROOM, word_of(2000, UINT32_MAX), &word, &end));
        memcpy(node + 8 + INNER_CAP * 8, child, sizeof child);
    }
    assert_true(btree_lookup(&b, ROOM, word_of(2000, UINT32_MAX), &word, &end));
    munmap(all, 2 * ROOM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bt4_every_number_of_words),
        cmocka_unit_test(test_bt4_as_far_as_a_region_reaches),
        cmocka_unit_test(test_patterns_are_permutations),
        cmocka_unit_test(test_bt1_bt2_bt3_every_pair_of_patterns),
        cmocka_unit_test(test_bt1_bt2_bt3_tall_trees),
        cmocka_unit_test(test_bt3_every_kth_removed),
        cmocka_unit_test(test_bt4_sawtooth_between_array_and_tree),
        cmocka_unit_test(test_bt2_bt3_around_each_height),
        cmocka_unit_test(test_bt4_leaves_as_thin_as_can_be),
        cmocka_unit_test(test_bt2_around_the_middle),
        cmocka_unit_test(test_bt2_random),
        cmocka_unit_test(test_heights_occurred),
        cmocka_unit_test(test_floor_and_ceil_at_every_key),
        cmocka_unit_test(test_bt2_first_free_and_nearest_free),
        cmocka_unit_test(test_checker_sees_damage_in_each_node),
        cmocka_unit_test(test_checker_sees_a_free_chunk_hidden),
        cmocka_unit_test(test_checker_sees_damage_in_the_counts),
        cmocka_unit_test(test_checker_sees_damage_in_an_array),
        cmocka_unit_test(test_checker_sees_a_node_too_small),
        cmocka_unit_test(test_bt5_no_room),
        cmocka_unit_test(test_bt5_any_damage),
        cmocka_unit_test(test_bt5_no_room_for_a_level),
        cmocka_unit_test(test_bt5_a_child_below_the_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
