/* SPDX-License-Identifier: MIT
 *
 * span.pml - a model of how threads share spans, for Spin, which checks every interleaving within
 * bounds.
 *
 *                   a thread cache adopts the span
 *      +----------------------------------------------------+------------+
 *      v                                                    |            |
 *    OWNED -------------> FULL ----------> PARTIAL ------> EMPTY -----> NONE
 *    by one cache;        no owner,        enough          no slot      memory of the
 *    its thread takes     few slots        slots           is live      ledger, after a
 *    slots, no lock       are free         are free                     grace period
 *    (or it is parked)
 *
 * On this line a span moves to the right and may leave out steps. The status is guarded by the
 * lock, and changes only after the states were counted. Without the lock a thread does two
 * things, each between busy = 1 and busy = 0:
 *
 *   malloc, by the owner               free, by any thread
 *     is_open        no: lock            is_open        no: lock
 *     mask           empty: scan         reciprocal_published
 *     state[slot] = live                                no: lock
 *                                        state[slot]    0: lock
 *                                        countdown = countdown - 1
 *                                                       (updates may be lost)
 *                                        state[slot] = 0
 *                                      then, if the countdown came down to 0: lock, count
 *
 * The owner parks a span that it has used up. It unparks the span between busy = 1 and busy = 0;
 * or another thread, which holds the lock since the countdown came down to 0, claims it. Both
 * compare and swap `parked_by`. A thread cache remembers one parked span (NPARKED is 1), which
 * another thread may have claimed since.
 *
 * A lock holder that needs the other threads to stop using something changes the word that they
 * read first (reciprocal_published, is_open), has a barrier run on all processors, and waits
 * until it has seen each of them with busy = 0. A thread that arrives later sees the change. No
 * thread asks for the lock with busy = 1. If no other thread has a cache, the lock holder does
 * neither (GR4 in src/base/grace.h): a thread becomes a member under the lock only.
 *
 *   P1  A slot is handed out only while no thread has it.
 *   P2  States and countdown are accessed only while their memory is the span's, and a thread
 *       cache only while it exists.
 *   P3  No memory goes to the ledger with a live object in it.
 *   P4  A PARTIAL or EMPTY span is in one queue, once. An OWNED span is in one window, or
 *       parked. A span of another status is in neither.
 *   P5  Freeing an object once frees it. (With WILD any thread may free any address at any
 *       time: the free is refused, or frees what lives there. P1 to P4 hold.)
 *   P6  malloc fails only if each slot was live at some time during its sweep.
 *   P7  Nothing is lost: when all objects were freed, one sweep gives all memory back to the
 *       ledger, whatever threads that are idle from then on still own.
 *   P8  There is no deadlock.
 *
 * Memory is sequentially consistent, except busy = 1, which stays in the store buffer until there
 * is a barrier: the worst case. busy = 0 is a release store. The model leaves out that the page
 * map comes and goes, that there are several size classes, and large objects, which are the
 * ledger's.
 *
 * Each seeded error is an #ifdef; test/spin.sh describes them. Steps that only a lock holder can
 * observe are done together.
 *
 * The bounds can be set with -D. A call is a malloc, a free or the end of a thread; threads are
 * idle before their first call and after the last.
 */
#ifndef NTHREADS
#define NTHREADS 3
#endif
#ifndef NSPANS
#define NSPANS 2 /* 1 or 2. */
#endif
#ifndef NSLOTS
#define NSLOTS 2
#endif
#ifndef NCALLS
#define NCALLS 2 /* The number of calls of each thread. */
#endif
#ifndef ENOUGH
#define ENOUGH 1 /* With at least as many free slots it pays to queue a span. */
#endif

#define NO_SPAN NSPANS
#define NOBODY  NTHREADS
#define HUGE    99 /* A countdown that stays above 0. */
#define ALL     ((1 << NSLOTS) - 1)

/* The values of busy. */
#define IDLE   0
#define HIDDEN 1 /* busy is 1, but still in the store buffer: other threads see 0. */
#define SEEN   2

mtype = { NONE, OWNED, FULL, PARTIAL, EMPTY };

typedef Span {
    mtype status = NONE;       /* Guarded by the lock. */
    byte nqueued;              /* The number of queues that it is in; guarded by the lock. */
    bool reciprocal_published; /* Tells threads without the lock that here is a span. */
    byte live;                 /* Bit i is state[i], as it really is. */
    short countdown;
    byte parked_by = NOBODY;   /* The owner that parked the span. */
    bool is_there;   /* Ghost. States and countdown are the span's, not the ledger's. */
    byte claimed;    /* Ghost. Bit i: one thread, and no other, is about to free slot i. */
    byte late;       /* Ghost. Bit i: slot i was freed during the sweep. */
}
typedef Cache {
    bool is_open;           /* The thread reads it first. */
    byte window = NO_SPAN;  /* The thread's while it is busy; a lock holder closes it. */
    byte parked = NO_SPAN;  /* As the window, the thread's while it is busy. */
    byte busy = IDLE;
    /* The cache exists, and a lock holder waits for its thread; guarded by the lock. */
    bool is_member;
}
Span span[NSPANS];
Cache tcache[NTHREADS];
byte holder = NOBODY; /* The thread that holds the lock. */
bool is_sweeping;     /* Ghost. */
byte nended;

#define IS_LIVE(x, slot) ((span[x].live >> (slot)) & 1)
#define SOME_EMPTY (span[0].status == EMPTY || span[NSPANS - 1].status == EMPTY)

/* --- the lock, and the data that it guards ------------------------------------------ */

inline lock()
{
    atomic { holder == NOBODY -> holder = me }
}

inline unlock() /* Checks P4. */
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

inline reader_enter() { tcache[me].busy = HIDDEN }
inline reader_leave() { tcache[me].busy = IDLE }

inline grace_barrier()
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

/* Sets b to the number of members that are waited for: all but the calling thread. */
inline count_others()
{
    d_step {
        b = 0;
        for (t : 0 .. NTHREADS - 1) { b = b + (tcache[t].is_member && t != me) }
        t = 0;
#ifdef ALONE_WITH_ONE
        b = (b > 0 -> b - 1 : 0) /* One other thread is taken for the calling one. */
#endif
    }
}

/* A thread that is the only member needs neither barrier nor wait. */
inline threads_wait()
{
    count_others();
    if
    :: b == 0 -> skip
    :: b > 0 -> b = 0; wait_for_others()
    fi
}

inline wait_for_others()
{
    grace_barrier();
    atomic {
        for (t : 0 .. NTHREADS - 1) {
            (!tcache[t].is_member || t == me || tcache[t].busy != SEEN)
        }
        t = 0
    }
}

/* --- states and countdown ------------------------------------------------------------------ */

inline touch(x) { assert(span[x].is_there) } /* Checks P2. */

/* Counts one state at a time, since other threads free slots meanwhile. */
inline count_live(x)
{
    atomic { nlive = 0; j = 0 };
    do
    :: atomic { j < NSLOTS -> touch(x); nlive = nlive + IS_LIVE(x, j); j++ }
    :: atomic { j == NSLOTS -> j = 0; break }
    od
}

/* Only for spans in which no other thread takes slots: a slot that is seen free stays free. */
inline find_free(x, bits)
{
    atomic { touch(x); bits = ALL & ~span[x].live }
}

inline take_slot(x, bits) /* Takes the lowest slot of the mask. */
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
        assert(!IS_LIVE(x, j)); /* Checks P1. */
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

/* --- changes of status, under the lock ---------------------------------------------------- */

inline queue_as(x, what)
{
    if
    :: span[x].status == PARTIAL /* It stays in its queue. */
    :: else -> span[x].nqueued++
    fi;
    span[x].status = what
}

/* Puts a span without an owner where it belongs. */
inline requeue(x, least)
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
    threads_wait();
#endif
    d_step {
        for (a : 0 .. NSPANS - 1) {
            if
            :: span[a].status == EMPTY ->
                assert(span[a].live == 0); /* Checks P3. */
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

inline give_back_surplus() /* Empty spans may go back at any time. */
{
    if
    :: SOME_EMPTY -> give_back_empty()
    :: true
    fi
}

inline refile(x)
{
    if
#ifdef CLAIM_ANY
    :: atomic { span[x].status == OWNED -> span[x].parked_by = NOBODY; span[x].status = FULL };
       requeue(x, ENOUGH)
#else
    :: atomic { span[x].status == OWNED && span[x].parked_by != NOBODY ->
           span[x].parked_by = NOBODY; span[x].status = FULL };
       requeue(x, ENOUGH)
#endif
#ifdef NO_COUNT
    :: span[x].status == PARTIAL ->
       atomic { queue_as(x, EMPTY); span[x].reciprocal_published = false }
    :: span[x].status == FULL -> requeue(x, ENOUGH)
#else
    :: span[x].status == PARTIAL || span[x].status == FULL -> requeue(x, ENOUGH)
#endif
    :: else
    fi;
    give_back_surplus()
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
    :: w != NO_SPAN -> requeue(w, ENOUGH); give_back_surplus()
    :: else
    fi;
    w = NO_SPAN
}

/* Gives up the span that the calling thread has parked. */
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
    :: w != NO_SPAN -> requeue(w, ENOUGH); give_back_surplus()
    :: else
    fi;
    w = NO_SPAN
}

/* Parks the window's span. No other span is parked. */
inline park_window()
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

/* Closes all thread caches, and then puts every span where it belongs. */
inline sweep()
{
    do
    :: atomic { k < NTHREADS -> tcache[k].is_open = false; k++ }
    :: atomic { k == NTHREADS -> k = 0; break }
    od;
#ifdef NO_REVOKE_WAIT
    skip;
#else
    threads_wait();
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
        :: span[k].status == FULL || span[k].status == PARTIAL -> requeue(k, 1)
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

inline no_space() /* Checks P6. */
{
    d_step {
        for (a : 0 .. NSPANS - 1) {
            assert(span[a].status != NONE && span[a].status != EMPTY);
            assert((span[a].live | span[a].late) == ALL)
        }
        a = 0
    }
}

/* Sets w to the first span of that status, or to NO_SPAN. */
inline look_for(what)
{
    w = 0;
    do
    :: w < NSPANS && span[w].status != what -> w++
    :: else -> break
    od
}

/* Sets w to a span with free slots, or to NO_SPAN, and gives it the status `what`. Chooses a span
 * from the queue first, then an empty one, then memory of the ledger. */
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
            /* This comes last: from here on other threads access the span. */
            span[w].reciprocal_published = true
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

/* Takes a slot under the lock, in a span that stays in the queue. Sets w to the span, or to
 * NO_SPAN. */
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
        :: else -> requeue(w, ENOUGH) /* Other threads have taken its slots, under the lock. */
        fi
    od
}

/* --- a thread ------------------------------------------------------------------------------ */

/* The mask has a bit for each slot of the window that is known to be free. */
proctype Thread(byte me, mask)
{
    byte ncalls = NCALLS;
    bool is_second;    /* This is the second try of this malloc. */
    byte w = NO_SPAN;
    byte s, i;         /* The span and the slot in it that the thread frees. */
    short h;           /* The countdown that the thread stored. */
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
    reader_enter();
    if
    :: tcache[me].is_open
    :: else -> reader_leave(); goto malloc_refill
    fi;
    atomic { assert(tcache[me].is_member); w = tcache[me].window }; /* Checks P2. */
    if
    :: w != NO_SPAN && mask == 0 -> /* A scan reads the states, so it needs busy = 1. */
#ifdef IDLE_SCAN
        reader_leave();
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
    reader_leave();
    goto next_call;

/* The thread is still busy. The span of the window, w, and the parked span change places. */
malloc_unpark:
    atomic { k = tcache[me].parked; tcache[me].parked = NO_SPAN };
    if
    :: k == NO_SPAN -> goto malloc_unparked
    :: else
    fi;
#ifdef UNPARK_NO_SWAP
    if
    :: span[k].parked_by == me
    :: else -> k = NO_SPAN; goto malloc_unparked
    fi;
#endif
    atomic {
        if
#ifdef UNPARK_NO_SWAP
        :: true ->
#else
        :: span[k].parked_by == me ->
#endif
            span[k].parked_by = NOBODY;
            /* All of this is one step, so that unlock() of another thread finds P4 true. */
            tcache[me].window = k;
            tcache[me].parked = w;
            if
            :: w != NO_SPAN -> span[w].parked_by = me; span[w].countdown = 1
            :: else
            fi
        :: else -> k = NO_SPAN
        fi
    };
malloc_unparked:
    if
    :: k == NO_SPAN -> reader_leave(); goto malloc_refill
    :: else
    fi;
    w = k; k = 0;
    set_countdown(w, HUGE);
    find_free(w, mask);
    if
    :: mask == 0 -> reader_leave(); goto malloc_refill
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
    park_window();
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
        find_free(w, mask); /* The old mask may belong to a window that was revoked. */
#endif
        tcache[me].window = w
    :: else -> mask = 0
    fi;
    unlock();
    is_second = true; /* Once the lock is free, all caches may be closed again. */
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

free: /* Frees slot i of span s. */
    reader_enter();
#ifndef UNKNOWN_FREES
    if
    :: tcache[me].is_open
    :: else -> reader_leave(); goto free_locked
    fi;
    assert(tcache[me].is_member); /* Checks P2. */
#endif
    if
    :: span[s].reciprocal_published
    :: else -> reader_leave(); goto free_locked
    fi;
    if
    :: atomic { IS_LIVE(s, i) -> touch(s) }
    :: atomic { else -> touch(s) }; reader_leave(); goto free_locked
    fi;
#ifdef STATE_FIRST
    clear_state(s, i);
    lower_countdown(s);
    reader_leave();
#else
#ifdef COUNTDOWN_LATE
    clear_state(s, i);
    reader_leave();
    lower_countdown(s);
#else
    lower_countdown(s);
    clear_state(s, i);
#ifndef BUSY_AT_LOCK
    reader_leave();
#endif
#endif
#endif
    if
    :: h > 0 -> reader_leave(); goto next_call
    :: else
    fi;
#ifndef NO_LOCK
    lock();
#endif
    refile(s);
    unlock();
    reader_leave();
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
        -> assert(false) /* Checks P5. */
#endif
    fi;
    unlock();
    goto next_call;

exit: /* The thread ends; later calls stand for another thread. */
    lock();
    tcache[me].is_open = false;
#ifdef EXIT_FORGETS
    tcache[me].window = NO_SPAN;
#else
    close_window();
#endif
#ifdef EXIT_FORGETS_PARKED
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
        /* All objects are freed, whatever the countdowns say. */
        for (a : 0 .. NSPANS - 1) { span[a].live = 0 }
        lock();
        sweep();
        assert(span[0].status == NONE && span[NSPANS - 1].status == NONE) /* Checks P7. */
    }
ended:
    skip
}

/* --- the start --------------------------------------------------------------------------
 *
 * All memory is the ledger's; or, with ANYWHERE, each span is in any state that it can have while
 * no thread is in a call, with any slots live and any mask. No promise depends on a countdown.
 * Threads are alike; so the owner of span x, which may have parked it, is thread x, and the last
 * thread is the one that may have no cache. */
inline choose_span(x)
{
    if
    :: goto chosen /* The span stays NONE. */
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
