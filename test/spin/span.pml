/* SPDX-License-Identifier: MIT
 *
 * span.pml - how threads share spans, for Spin: every interleaving, within bounds.
 *
 *                     a cache takes the span
 *        +-------------------------------------------------+-----------+
 *        v                                                 |           |
 *      OWNED ------------> FULL ---------> PARTIAL ---> EMPTY ---> NONE
 *      by one cache;       nobody's,           enough      no slot     the ledger's
 *      its thread takes    few slots           slots       is live     memory, after a
 *      slots, no lock      are free            are free                grace period
 *      (or it is parked)
 *
 * Down this line a span may leave out steps. The status is guarded by the lock, and
 * changes only after the states were counted. Without the lock there are two things,
 * each between busy = 1 and busy = 0:
 *
 *     malloc, by the owner              free, by anybody
 *       is_open      no: lock             is_open      no: lock
 *       mask         empty: scan          reciprocal_published    no: lock
 *       state[slot] = live                state[slot]  0: lock
 *                                         countdown = countdown - 1 (updates may be lost)
 *                                         state[slot] = 0
 *                                       then, if the countdown came down to 0: lock, count
 *
 * A span that its owner has used up is parked. The owner unparks it, between busy = 1 and
 * busy = 0; or somebody claims it, with the lock, as its countdown came down to 0. Both
 * compare and swap `parked_by`. A cache remembers one span (NPARKED is 1), which may be
 * somebody else's by now.
 *
 * Who has the lock and needs the others out of the way changes what they look at first
 * (reciprocal_published, is_open), has a barrier run on all processors, and waits until it has
 * seen each of them with busy = 0. Who comes later sees the change. Nobody asks for
 * the lock with busy = 1.
 *
 *   P1  A slot is handed out only while nobody has it.
 *   P2  States and countdown are touched only while their memory is the span's, a cache only
 *       while it is there.
 *   P3  No memory goes to the ledger with a live object in it.
 *   P4  A span is in a queue once if it is PARTIAL or EMPTY, and in one window, or parked_by,
 *       if it is OWNED; else nowhere.
 *   P5  An object that is freed once is freed. (With WILD anybody may free any address at
 *       any time: that is refused, or frees what lives there. P1 to P4 hold.)
 *   P6  malloc fails only if each slot was live at some time during its sweep.
 *   P7  Nothing is lost: when all is free, one sweep makes all memory the ledger's,
 *       whatever threads own that do nothing any more.
 *   P8  No deadlock.
 *
 * Memory is sequentially consistent, but for busy = 1: that stays in the store buffer
 * until there is a barrier, the worst case. busy = 0 is a release store.
 * Left out: the map is there always, there is one class, and large objects are the
 * ledger's.
 *
 * Each seeded error is an #ifdef; test/spin.sh says what they are. Steps that only who has
 * the lock can see are done together.
 *
 * The bounds, each to be set with -D. A call is a malloc, a free or the end of a thread;
 * threads are idle before the first and after the last.
 */
#ifndef NTHREADS
#define NTHREADS 3
#endif
#ifndef NSPANS
#define NSPANS 2 /* or 1 */
#endif
#ifndef NSLOTS
#define NSLOTS 2
#endif
#ifndef NCALLS
#define NCALLS 2 /* of each thread */
#endif
#ifndef ENOUGH
#define ENOUGH 1 /* free slots that make it worth while to queue a span */
#endif

#define NO_SPAN NSPANS
#define NOBODY  NTHREADS
#define HUGE    99 /* a countdown that does not come down */
#define ALL     ((1 << NSLOTS) - 1)

/* busy */
#define IDLE   0
#define HIDDEN 1 /* 1, but still in the store buffer: others see 0 */
#define SEEN   2

mtype = { NONE, OWNED, FULL, PARTIAL, EMPTY };

typedef Span {
    mtype status = NONE; /* guarded by the lock */
    byte nqueued;        /* guarded by the lock: how often it is in a queue */
    bool reciprocal_published;      /* those without the lock see that here is a span */
    byte live;           /* bit i is state[i], the truth */
    short countdown;
    byte parked_by = NOBODY; /* whose it is */
    bool is_there;       /* ghost: states and countdown are the span's, not the ledger's */
    byte claimed;        /* ghost, bit i: somebody is about to free it, and nobody else */
    byte late;           /* ghost, bit i: freed during the sweep */
}
typedef Cache {
    bool is_open;           /* what the thread looks at first */
    byte window = NO_SPAN;  /* the thread's while it is busy; who has the lock closes it */
    byte parked = NO_SPAN;  /* likewise */
    byte busy = IDLE;
    bool is_member;         /* guarded by the lock: the cache is there, its thread is waited for */
}
Span span[NSPANS];
Cache tcache[NTHREADS];
byte holder = NOBODY; /* of the lock */
bool is_sweeping;     /* ghost */
byte nended;

#define IS_LIVE(x, slot) ((span[x].live >> (slot)) & 1)
#define SOME_EMPTY (span[0].status == EMPTY || span[NSPANS - 1].status == EMPTY)

/* --- the lock, and the books that it guards --------------------------------------- */

inline lock()
{
    atomic { holder == NOBODY -> holder = me }
}

inline unlock() /* P4 */
{
    d_step {
        for (a : 0 .. NSPANS - 1) {
            b = 0;
            for (t : 0 .. NTHREADS - 1) { b = b + (tcache[t].window == a) }
            b = b + (span[a].parked_by != NOBODY);
            assert(b == (span[a].status == OWNED));
            assert(span[a].nqueued == (span[a].status == PARTIAL || span[a].status == EMPTY));
            assert(span[a].is_there == (span[a].status != NONE))
        }
        a = 0; b = 0; t = 0;
        holder = NOBODY
    }
}

/* --- busy --------------------------------------------------------------------------- */

inline enter() { tcache[me].busy = HIDDEN }
inline leave() { tcache[me].busy = IDLE }

inline barrier()
{
#ifdef NO_BARRIER
    skip
#else
    d_step {
        for (t : 0 .. NTHREADS - 1) {
            if
            :: tcache[t].busy == HIDDEN -> tcache[t].busy = SEEN
            :: else
            fi
        }
        t = 0
    }
#endif
}

inline wait_for_all()
{
    barrier();
    atomic {
        for (t : 0 .. NTHREADS - 1) {
            (!tcache[t].is_member || t == me || tcache[t].busy != SEEN)
        }
        t = 0
    }
}

/* --- states and countdown ------------------------------------------------------------------ */

inline touch(x) { assert(span[x].is_there) } /* P2 */

/* One by one: others are freeing meanwhile. */
inline count_live(x)
{
    atomic { nlive = 0; j = 0 };
    do
    :: atomic { j < NSLOTS -> touch(x); nlive = nlive + IS_LIVE(x, j); j++ }
    :: atomic { j == NSLOTS -> j = 0; break }
    od
}

/* Of a span where nobody else takes slots: what is seen free stays so. */
inline find_free(x, bits)
{
    atomic { touch(x); bits = ALL & ~span[x].live }
}

inline take_slot(x, bits) /* the lowest */
{
    d_step {
        touch(x);
        assert(bits != 0);
        j = 0;
        do
        :: (bits >> j) & 1 -> break
        :: else -> j++
        od;
        bits = bits & ~(1 << j);
        assert(!IS_LIVE(x, j)); /* P1 */
        span[x].live = span[x].live | (1 << j);
        j = 0
    }
}

inline lower_countdown(x)
{
    atomic { touch(x); h = (span[x].countdown == HUGE -> HUGE : span[x].countdown - 1) };
    atomic { touch(x); span[x].countdown = h }
}

inline set_countdown(x, n)
{
    atomic { touch(x); span[x].countdown = n }
}

inline clear_state(x, slot)
{
    d_step {
        touch(x);
        span[x].live = span[x].live & ~(1 << slot);
        span[x].claimed = span[x].claimed & ~(1 << slot);
        if
        :: is_sweeping -> span[x].late = span[x].late | (1 << slot)
        :: else
        fi
    }
}

/* --- moves, under the lock --------------------------------------------------------------- */

inline queue_as(x, what)
{
    if
    :: span[x].status == PARTIAL /* and stays in a queue */
    :: else -> span[x].nqueued++
    fi;
    span[x].status = what
}

/* Puts a span that nobody owns where it belongs. */
inline settle(x, least)
{
    count_live(x);
    if
    :: atomic { nlive == 0 -> queue_as(x, EMPTY); span[x].reciprocal_published = false }
    :: atomic { nlive > 0 && NSLOTS - nlive >= least ->
        queue_as(x, PARTIAL);
        set_countdown(x, nlive); nlive = 0 }
    :: atomic { nlive > 0 && NSLOTS - nlive < least ->
        if
        :: span[x].status == PARTIAL -> span[x].nqueued--
        :: else
        fi;
        span[x].status = FULL;
        set_countdown(x, least - (NSLOTS - nlive)); nlive = 0 }
    fi
}

inline give_back_empty()
{
#ifndef NO_GRACE
    wait_for_all();
#endif
    d_step {
        for (a : 0 .. NSPANS - 1) {
            if
            :: span[a].status == EMPTY ->
                assert(span[a].live == 0); /* P3 */
                span[a].nqueued--;
                span[a].status = NONE;
                span[a].is_there = false;
                span[a].countdown = 0
            :: else
            fi
        }
        a = 0
    }
}

inline give_back_empty_perhaps() /* it is no matter when */
{
    if
    :: SOME_EMPTY -> give_back_empty()
    :: true
    fi
}

inline refile(x)
{
    if
#ifdef TAKE_ANY
    :: atomic { span[x].status == OWNED -> span[x].parked_by = NOBODY; span[x].status = FULL };
       settle(x, ENOUGH)
#else
    :: atomic { span[x].status == OWNED && span[x].parked_by != NOBODY ->
           span[x].parked_by = NOBODY; span[x].status = FULL };
       settle(x, ENOUGH)
#endif
#ifdef NO_RECOUNT
    :: span[x].status == PARTIAL -> atomic { queue_as(x, EMPTY); span[x].reciprocal_published = false }
    :: span[x].status == FULL -> settle(x, ENOUGH)
#else
    :: span[x].status == PARTIAL || span[x].status == FULL -> settle(x, ENOUGH)
#endif
    :: else
    fi;
    give_back_empty_perhaps()
}

inline close_window()
{
    atomic {
        w = tcache[me].window;
        tcache[me].window = NO_SPAN;
        if
        :: w != NO_SPAN -> span[w].status = FULL
        :: else
        fi
    };
    if
    :: w != NO_SPAN -> settle(w, ENOUGH); give_back_empty_perhaps()
    :: else
    fi;
    w = NO_SPAN
}

/* The one that is parked becomes anybody's. */
inline close_parked()
{
    atomic {
        w = tcache[me].parked;
        tcache[me].parked = NO_SPAN;
        if
        :: w != NO_SPAN && span[w].parked_by == me ->
            span[w].parked_by = NOBODY;
            span[w].status = FULL
        :: else -> w = NO_SPAN
        fi
    };
    if
    :: w != NO_SPAN -> settle(w, ENOUGH); give_back_empty_perhaps()
    :: else
    fi;
    w = NO_SPAN
}

/* What the window has is parked; there is room for it. */
inline window_park()
{
    if
    :: tcache[me].window != NO_SPAN ->
        set_countdown(tcache[me].window, 1);
        atomic {
            tcache[me].parked = tcache[me].window;
            span[tcache[me].parked].parked_by = me;
            tcache[me].window = NO_SPAN
        }
    :: else
    fi
}

/* All caches are closed; then every span goes where it belongs. */
inline sweep()
{
    do
    :: atomic { k < NTHREADS -> tcache[k].is_open = false; k++ }
    :: atomic { k == NTHREADS -> k = 0; break }
    od;
#ifdef NO_REVOKE_WAIT
    skip;
#else
    wait_for_all();
#endif
    d_step {
        is_sweeping = true;
        for (a : 0 .. NTHREADS - 1) {
            tcache[a].is_member = false;
            w = tcache[a].window;
            tcache[a].window = NO_SPAN;
            if
            :: w != NO_SPAN -> span[w].status = FULL
            :: else
            fi;
            w = tcache[a].parked;
            tcache[a].parked = NO_SPAN;
            if
            :: w != NO_SPAN && span[w].parked_by == a ->
                span[w].parked_by = NOBODY; span[w].status = FULL
            :: else
            fi
        }
        a = 0; w = NO_SPAN
    };
    for (k : 0 .. NSPANS - 1) {
        if
        :: span[k].status == FULL || span[k].status == PARTIAL -> settle(k, 1)
        :: else
        fi
    }
    k = 0;
    if
    :: SOME_EMPTY -> give_back_empty()
    :: else
    fi
}

inline end_sweep()
{
    d_step {
        is_sweeping = false;
        for (a : 0 .. NSPANS - 1) { span[a].late = 0 }
        a = 0
    }
}

inline no_space() /* P6 */
{
    d_step {
        for (a : 0 .. NSPANS - 1) {
            assert(span[a].status != NONE && span[a].status != EMPTY);
            assert((span[a].live | span[a].late) == ALL)
        }
        a = 0
    }
}

/* The first span of that status: w, or NO_SPAN. */
inline look_for(what)
{
    w = 0;
    do
    :: w < NSPANS && span[w].status != what -> w++
    :: else -> break
    od
}

/* Best from the queue, else an empty one, else the ledger's memory: w, as `what`. */
inline get_span(what)
{
    atomic {
        look_for(PARTIAL);
        if
        :: w == NO_SPAN -> look_for(EMPTY)
        :: else
        fi;
        if
        :: w != NO_SPAN -> span[w].nqueued--
        :: else ->
            look_for(NONE);
#ifndef EARLY_MAP
            if
            :: w != NO_SPAN -> span[w].is_there = true; span[w].live = 0
            :: else
            fi
#endif
        fi;
        if
        :: w != NO_SPAN ->
            span[w].status = what;
            span[w].nqueued = (what == PARTIAL);
            span[w].reciprocal_published = true /* last: from now on others look */
        :: else
        fi
    }
#ifdef EARLY_MAP
    ;
    if
    :: w != NO_SPAN && !span[w].is_there -> d_step { span[w].is_there = true; span[w].live = 0 }
    :: else
    fi
#endif
}

/* A slot under the lock, in a span that stays in the queue: w, or NO_SPAN. */
inline take_locked()
{
    do
    :: true ->
        get_span(PARTIAL);
        if
        :: w == NO_SPAN -> break
        :: else
        fi;
        find_free(w, bits);
        if
        :: bits != 0 -> take_slot(w, bits); bits = 0; set_countdown(w, 1); break
        :: else -> settle(w, ENOUGH) /* others were here before, under the lock */
        fi
    od
}

/* --- a thread ------------------------------------------------------------------------------ */

proctype Thread(byte me, mask) /* the mask: slots of the window known to be free */
{
    byte ncalls = NCALLS;
    bool is_second;    /* try of this malloc */
    byte w = NO_SPAN;
    byte s, i;         /* the address to be freed */
    short h;           /* the countdown as it was stored */
    byte bits, nlive, j, k, t, a, b;

next_call:
    atomic {
        is_second = false; w = NO_SPAN; s = 0; i = 0; h = 0;
        if
        :: ncalls == 0 -> goto last
        :: else -> ncalls--
        fi;
        if
        :: goto malloc
        :: tcache[me].is_member -> goto exit
        :: select(s : 0 .. NSPANS - 1);
           select(i : 0 .. NSLOTS - 1);
#ifndef WILD
           if
           :: IS_LIVE(s, i) && !((span[s].claimed >> i) & 1) ->
               span[s].claimed = span[s].claimed | (1 << i)
           :: else -> goto next_call
           fi;
#endif
           goto free
        fi
    }

malloc:
    enter();
    if
    :: tcache[me].is_open
    :: else -> leave(); goto malloc_refill
    fi;
    atomic { assert(tcache[me].is_member); w = tcache[me].window }; /* P2 */
    if
    :: w != NO_SPAN && mask == 0 -> /* to scan is to look, so busy */
#ifdef IDLE_SCAN
        leave();
        find_free(w, mask);
        if
        :: mask == 0 -> goto malloc_refill
        :: else -> goto malloc
        fi
#else
        find_free(w, mask)
#endif
    :: else
    fi;
    if
    :: w == NO_SPAN || mask == 0 -> goto malloc_unpark
    :: else
    fi;
malloc_take:
    take_slot(w, mask);
    leave();
    goto next_call;

malloc_unpark: /* still busy. The window's span, w, and the one that is parked change places */
    atomic { k = tcache[me].parked; tcache[me].parked = NO_SPAN };
    if
    :: k == NO_SPAN -> goto malloc_woken
    :: else
    fi;
#ifdef WAKE_NO_SWAP
    if
    :: span[k].parked_by == me
    :: else -> k = NO_SPAN; goto malloc_woken
    fi;
#endif
    atomic {
        if
#ifdef WAKE_NO_SWAP
        :: true ->
#else
        :: span[k].parked_by == me ->
#endif
            span[k].parked_by = NOBODY;
            tcache[me].window = k; /* all at once, so that P4 can be seen */
            tcache[me].parked = w;
            if
            :: w != NO_SPAN -> span[w].parked_by = me; span[w].countdown = 1
            :: else
            fi
        :: else -> k = NO_SPAN
        fi
    };
malloc_woken:
    if
    :: k == NO_SPAN -> leave(); goto malloc_refill
    :: else
    fi;
    w = k; k = 0;
    set_countdown(w, HUGE);
    find_free(w, mask);
    if
    :: mask == 0 -> leave(); goto malloc_refill
    :: else -> goto malloc_take
    fi;

malloc_refill:
    k = 0;
    if
#ifdef NO_SPACE_EARLY
    :: is_second -> no_space(); goto next_call
#else
    :: is_second -> goto malloc_locked
#endif
    :: else
    fi;
    lock();
    close_parked();
    window_park();
    atomic { tcache[me].is_member = true; tcache[me].is_open = true; get_span(OWNED) };
    if
    :: w != NO_SPAN ->
        set_countdown(w, HUGE);
#ifdef MASK_KEPT
        if
        :: mask == 0 -> find_free(w, mask)
        :: else
        fi;
#else
        find_free(w, mask); /* what is in it may be from a window that was revoked */
#endif
        tcache[me].window = w
    :: else -> mask = 0
    fi;
    unlock();
    is_second = true; /* once the lock is free, all caches may be closed again */
    goto malloc;

malloc_locked:
    lock();
#ifndef NO_SWEEP
    take_locked();
    if
    :: w == NO_SPAN ->
        sweep();
        take_locked();
        if
        :: w == NO_SPAN -> no_space()
        :: else
        fi;
        end_sweep()
    :: else
    fi;
#else
    take_locked();
    if
    :: w == NO_SPAN -> no_space()
    :: else
    fi;
#endif
    unlock();
    goto next_call;

free: /* slot i of span s */
    enter();
#ifndef UNKNOWN_FREES
    if
    :: tcache[me].is_open
    :: else -> leave(); goto free_locked
    fi;
    assert(tcache[me].is_member); /* P2 */
#endif
    if
    :: span[s].reciprocal_published
    :: else -> leave(); goto free_locked
    fi;
    if
    :: atomic { IS_LIVE(s, i) -> touch(s) }
    :: atomic { else -> touch(s) }; leave(); goto free_locked
    fi;
#ifdef STATE_FIRST
    clear_state(s, i);
    lower_countdown(s);
    leave();
#else
#ifdef HINT_LATE
    clear_state(s, i);
    leave();
    lower_countdown(s);
#else
    lower_countdown(s);
    clear_state(s, i);
#ifndef BUSY_AT_LOCK
    leave();
#endif
#endif
#endif
    if
    :: h > 0 -> leave(); goto next_call
    :: else
    fi;
#ifndef NO_LOCK
    lock();
#endif
    refile(s);
    unlock();
    leave();
    goto next_call;

free_locked:
    lock();
    if
    :: span[s].status != NONE && IS_LIVE(s, i) ->
        lower_countdown(s);
        clear_state(s, i);
        if
        :: h <= 0 -> refile(s)
        :: else
        fi
    :: else
#ifndef WILD
        -> assert(false) /* P5 */
#endif
    fi;
    unlock();
    goto next_call;

exit: /* but it may come back */
    lock();
    tcache[me].is_open = false;
#ifdef EXIT_FORGETS
    tcache[me].window = NO_SPAN;
#else
    close_window();
#endif
#ifdef EXIT_FORGETS_RESTED
    tcache[me].parked = NO_SPAN;
#else
    close_parked();
#endif
    atomic { mask = 0; tcache[me].is_member = false };
    unlock();
    goto next_call;

last:
    atomic {
        nended++;
        if
        :: nended == NTHREADS
        :: else -> goto ended
        fi;
        for (a : 0 .. NSPANS - 1) { span[a].live = 0 } /* all is freed, whatever the hints say */
        lock();
        sweep();
        assert(span[0].status == NONE && span[NSPANS - 1].status == NONE) /* P7 */
    }
ended:
    skip
}

/* --- the start --------------------------------------------------------------------------------
 *
 * All memory is the ledger's; or, with ANYWHERE, each span is anything that it can be
 * while nobody is in a call, with any slots live and any mask. No promise depends
 * on a countdown. Threads are alike, so the owner of span x, which may rest, is thread x, and it is the last
 * that may have no cache.
 */
inline choose_span(x)
{
    if
    :: goto chosen /* NONE */
    :: x < NTHREADS ->
        span[x].status = OWNED;
        if
        :: tcache[x].window = x
        :: tcache[x].parked = x; span[x].parked_by = x
        fi;
        tcache[x].is_member = true;
        tcache[x].is_open = true
    :: span[x].status = FULL
    :: span[x].status = PARTIAL; span[x].nqueued = 1
    fi;
    span[x].is_there = true;
    span[x].reciprocal_published = true;
    span[x].countdown = countdown;
    select(bits : 0 .. ALL);
    span[x].live = bits;
chosen:
    skip
}

init
{
    byte me, bits, x;
    short countdown;

    atomic {
#ifdef ANYWHERE
        if
        :: countdown = 1
        :: countdown = HUGE
        fi;
        for (x : 0 .. NSPANS - 1) { choose_span(x) }
#endif
        for (me : 0 .. NTHREADS - 1) {
            bits = 0;
            if
            :: tcache[me].window != NO_SPAN ->
                select(bits : 0 .. ALL);
                bits = bits & ~span[tcache[me].window].live
#ifdef ANYWHERE
            :: else ->
                if
                :: tcache[me].is_member = true; tcache[me].is_open = true
                :: me == NTHREADS - 1
                fi
#else
            :: else
#endif
            fi;
            run Thread(me, bits)
        }
        me = 0; bits = 0; x = 0; countdown = 0
    }
}
