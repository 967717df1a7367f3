/* A loop's inbox, and how the loop sleeps, wakes and ends. Spin looks at every interleaving of one loop with two or three
 * threads that push, and so proves:
 *
 *   No wake-up is lost:    it never happens that a node is in the inbox, the loop is blocked, and no wake is under way.
 *   No node is lost:       each push is handed out once, in its thread's order, or refused once; once closed, it is refused.
 *   Nobody is left behind: no waker touches the backend of a loop that has ended, and no loop waits at its end for a wake
 *                          that never comes. Each sleep is woken at most once.
 *
 * What stands for what:
 *
 *   Push, Take, TrySleep, Close  runtime/internal/inbox.h, PushChain included; one step for each access of the word
 *   Producer                     Loop::PushFromAnyThread, by a thread that pushes a node again once it was handed out
 *   EventLoop                    RunUntil, TakeInbox, CountOwedWake, PollOrSleep and End of runtime/loop.cc
 *   Wake, is_signalled, owed     Backend::Wake and AwaitWakes: a wake first lets the loop return from its wait, then is
 *                                counted. An eventfd does both at once, the simulation one after the other.
 *
 * Timers, sockets and tasks are choices: the loop may return from a wait, something may be ready, the program may be done.
 * Not here: memory orders. All that threads share without an owner is the word; its loads may be stale here as in C++, and
 * that acquire and release publish the nodes is argued in inbox.h.
 *
 * Each MUTANT_ breaks the model as one could break the code; inbox_model_test.py says which error Spin must find then. What
 * no correct run reaches is marked "never".
 */
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef PUSHES
#define PUSHES 2 /* by each producer */
#endif

/* The word. A larger one is the newest node of a stack, linked by `next`. */
#define AWAKE 0
#define ASLEEP 1
#define CLOSED 2
#define FIRST_OF(producer) (CLOSED + 1 + 2 * (producer)) /* each has two nodes, this one and the next */
#define PRODUCER_OF(node) (((node) - CLOSED - 1) / 2)
#define NODES (CLOSED + 1 + 2 * PRODUCERS)
#define IS_LIST(word) ((word) > CLOSED)

byte head = AWAKE;
byte next[NODES]; /* 0: none */

/* The backend. */
bool is_signalled;
short owed; /* the loop's owed_wakes_ less the wakes counted so far, since only that matters */

/* What only the proof looks at. */
bool is_pushed[NODES];         /* from the push that was accepted until the node is handed out */
byte number[NODES];            /* of that push, among its producer's */
byte numbers_in[PRODUCERS];    /* the next push that is accepted gets this number */
byte numbers_out[PRODUCERS];   /* ... and the next that is handed out must have this one */
bool is_refused[PRODUCERS];
byte wakes_under_way;          /* pushes that found the loop asleep, and have not signalled yet */
bool is_blocked;               /* the loop is inside Backend::Turn, and waits */
bool is_gone;                  /* the loop has ended; its backend may be destroyed */

#define IS_WAKE_LOST (is_blocked && IS_LIST(head) && !is_signalled && wakes_under_way == 0)

/* --- any thread */

/* The compare-exchange took `seen` for `newest`: what was pushed belongs to the inbox. */
inline Accept() {
  assert(!is_refused[me] && !is_pushed[oldest] && !is_pushed[newest]);
  number[oldest] = numbers_in[me];
  is_pushed[oldest] = true;
  numbers_in[me]++;
  if
  :: newest != oldest -> number[newest] = numbers_in[me]; is_pushed[newest] = true; numbers_in[me]++
  :: else
  fi;
#ifdef MUTANT_PUSH_WAKES_NOBODY
  must_wake = false;
#elif defined(MUTANT_PUSH_DECIDES_BY_ITS_FIRST_LOOK)
  must_wake = first_seen == ASLEEP;
#else
  must_wake = seen == ASLEEP;
#endif
  wakes_under_way = wakes_under_way + must_wake
}

inline LinkBelow() {
  next[oldest] = (IS_LIST(seen) -> seen : 0)
}

/* PushChain of newest..oldest, as a loop around a weak compare-exchange, which may fail without a reason. */
inline Push() {
  seen = head;
#ifdef MUTANT_PUSH_DECIDES_BY_ITS_FIRST_LOOK
  first_seen = seen;
#endif
#ifdef MUTANT_PUSH_LINKS_ONCE
  LinkBelow();
#endif
  do
  :: seen == CLOSED -> is_refused[me] = true; must_wake = false; break
  :: else ->
#ifndef MUTANT_PUSH_LINKS_ONCE
    LinkBelow();
#endif
    if
    :: d_step { head == seen -> head = newest; Accept() }; break
    :: seen = head
    fi
  od
}

inline Wake() {
#ifdef MUTANT_WAKE_COUNTS_FIRST
  owed--;
#endif
  d_step { assert(!is_gone); is_signalled = true; wakes_under_way-- };
#ifndef MUTANT_WAKE_COUNTS_FIRST
  d_step { assert(!is_gone); owed-- }
#endif
}

proctype Producer(byte me) {
  byte oldest, newest, seen, left = PUSHES;
  bool must_wake;
#ifdef MUTANT_PUSH_DECIDES_BY_ITS_FIRST_LOOK
  byte first_seen;
#endif
  do
  :: left == 0 -> break
  :: left > 0 ->
    if /* the first node, or the second while the first is away, or both as a chain */
    :: d_step { !is_pushed[FIRST_OF(me)] -> oldest = FIRST_OF(me); newest = oldest; left-- }
    :: d_step {
         is_pushed[FIRST_OF(me)] && !is_pushed[FIRST_OF(me) + 1] ->
         oldest = FIRST_OF(me) + 1; newest = oldest; left--
       }
    :: d_step {
         !is_pushed[FIRST_OF(me)] && !is_pushed[FIRST_OF(me) + 1] ->
         oldest = FIRST_OF(me); newest = oldest + 1; next[newest] = oldest; left--
       }
    fi;
    Push();
    if
    :: must_wake -> Wake()
    :: else
    fi;
    d_step { oldest = 0; newest = 0; seen = 0; must_wake = false }
  od
}

/* --- the loop's thread. `known` is the newest value of the word that it has written or read: a relaxed load gives that one
 * or a newer one. */

/* The list `found`, which nobody else touches any more, is put in order and run. */
inline HandOut() {
  reversed = 0;
#ifdef MUTANT_TAKE_KEEPS_THE_NEWEST_FIRST
  reversed = found;
#else
  below = found;
  do
  :: below == 0 -> break
  :: else -> link = next[below]; next[below] = reversed; reversed = below; below = link
  od;
#endif
  do
  :: reversed == 0 -> break
  :: else ->
    assert(is_pushed[reversed]);
    assert(number[reversed] == numbers_out[PRODUCER_OF(reversed)]);
    numbers_out[PRODUCER_OF(reversed)]++;
    if
    :: numbers_out[PRODUCER_OF(reversed)] == numbers_in[PRODUCER_OF(reversed)] -> /* start afresh: fewer states */
      numbers_out[PRODUCER_OF(reversed)] = 0; numbers_in[PRODUCER_OF(reversed)] = 0
    :: else
    fi;
    is_pushed[reversed] = false;
    number[reversed] = 0;
    link = next[reversed];
    next[reversed] = 0;
    reversed = link
  od;
  link = 0
}

/* Leaves in `found` the newest of what was taken, or 0. */
inline Exchange(word) {
#ifdef MUTANT_TAKE_LOADS_THEN_STORES
  found = (IS_LIST(head) -> head : 0);
  d_step { head = word; known = word; HandOut() }
#else
  d_step { found = (IS_LIST(head) -> head : 0); head = word; known = word; HandOut() }
#endif
}

inline Take() {
  found = 0;
  if
  :: seen = head
  :: seen = known
  fi;
  if
#ifdef MUTANT_TAKE_REOPENS
  :: seen == AWAKE
#elif defined(MUTANT_TAKE_STAYS_ASLEEP)
  :: seen == AWAKE || seen == ASLEEP || seen == CLOSED
#else
  :: seen == AWAKE || seen == CLOSED
#endif
  :: else -> Exchange(AWAKE)
  fi;
  seen = 0
}

inline TrySleep() {
#ifdef MUTANT_SLEEP_LOOKS_THEN_STORES
  is_slept = head == AWAKE;
  if
  :: is_slept -> head = ASLEEP; known = ASLEEP
  :: else -> known = head
  fi
#else
  d_step {
    is_slept = head == AWAKE;
    if
    :: is_slept -> head = ASLEEP
    :: else
    fi;
    known = head
  }
#endif
}

inline Close() {
#ifdef MUTANT_CLOSE_DROPS_WHAT_IT_FINDS
  d_step { found = (IS_LIST(head) -> head : 0); head = CLOSED; known = CLOSED }
#else
  Exchange(CLOSED)
#endif
}

inline CountOwedWake(is_pushed_to) {
  owed = owed + (is_asleep && is_pushed_to);
  d_step { is_asleep = false; found = 0 }
}

/* The loop sleeps, or asks its backend without waiting because something is ready. Edges are taken, not counted. */
inline PollOrSleep() {
  if
  :: is_signalled = false
  :: TrySleep();
    if
#ifdef MUTANT_SLEEP_IGNORES_WHAT_CAME
    :: true ->
#else
    :: is_slept ->
#endif
      d_step { is_slept = false; is_asleep = true; is_blocked = true };
      if
      :: d_step { is_signalled -> is_signalled = false; is_blocked = false }
      :: is_blocked = false /* a timer, a socket */
      fi
    :: else
    fi
  fi
}

proctype EventLoop() {
  byte found, seen, known = AWAKE, below, reversed, link;
  bool is_asleep, is_slept;
  do
  :: Take();
    CountOwedWake(found != 0);
    if
    :: break /* the program is done */
    :: PollOrSleep()
    fi
  :: break /* ... as it may be after a sleep */
  od;
  Close();
#ifdef MUTANT_CLOSE_FORGETS_THE_OWED_WAKE
  CountOwedWake(false);
#elif defined(MUTANT_CLOSE_COUNTS_A_WAKE_THAT_NOBODY_OWES)
  CountOwedWake(true);
#else
  CountOwedWake(found != 0);
#endif
  Take(); /* neither of these is done, and both do nothing */
  TrySleep();
  assert(found == 0 && !is_slept);
#ifndef MUTANT_END_WAITS_FOR_NOBODY
  owed <= 0; /* Backend::AwaitWakes */
#endif
  is_gone = true
}

/* --- the claims */

init {
  byte i = 0;
  atomic {
    run EventLoop();
    do
    :: i < PRODUCERS -> run Producer(i); i++
    :: i == PRODUCERS -> break
    od
  };
  if
  :: IS_WAKE_LOST -> assert(!IS_WAKE_LOST) /* never */
  :: _nr_pr == 1 /* all have ended: where one can't, Spin finds an invalid end state */
  fi;
  d_step {
    assert(head == CLOSED && is_gone && wakes_under_way == 0 && owed == 0);
    i = 0;
    do
    :: i < PRODUCERS -> assert(numbers_out[i] == numbers_in[i]); i++
    :: i == PRODUCERS -> break
    od
  }
}
