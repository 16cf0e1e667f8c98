/* SPDX-License-Identifier: MIT
 *
 * screen.c - draws on the terminal by ncurses, and waits for keys and signals. See screen.h.
 */
#include "screen.h"

#ifndef HAVE_NCURSES

bool has_screen(void)
{
    return false;
}

bool screen_begin(void)
{
    return false;
}

void screen_end(void)
{
}

void screen_clear(void)
{
}

size_t screen_rows_left(void)
{
    return 0;
}

void screen_text(const char *text)
{
    (void)text;
}

void screen_cells(const struct map *m)
{
    (void)m;
}

int screen_wait(double seconds)
{
    (void)seconds;
    return SCREEN_GONE;
}

#else

#include <curses.h>
#include <err.h>
#include <langinfo.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <term.h>
#include <unistd.h>

#include "command.h"

static struct {
    bool is_there;
    bool is_in_colour;
    int row;                /* of what is put next */
    int signals;            /* a descriptor that signals are read from */
    sigset_t before;        /* the signals that were blocked before */
    int errors, old_errors; /* what standard error is meanwhile, and what it was */
} screen;

bool has_screen(void)
{
    return true;
}

/* --- begin and end ----------------------------------------------------------------------- */

/* From now on these signals are read, instead of delivered. */
static void hold_signals(void)
{
    static const int numbers[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGCONT, SIGWINCH};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaddset(&set, numbers[i]);
    sigprocmask(SIG_BLOCK, &set, &screen.before);
    screen.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (screen.signals < 0)
        err(UNKNOWN, "signals");
}

/* Keeps what is written to standard error. */
static void hold_errors(void)
{
    screen.old_errors = dup(STDERR_FILENO);
    screen.errors = memfd_create("errors", MFD_CLOEXEC);
    if (screen.old_errors >= 0 && screen.errors >= 0)
        dup2(screen.errors, STDERR_FILENO);
}

static void release_errors(void)
{
    char bytes[4096];
    ssize_t n;
    if (screen.old_errors < 0 || screen.errors < 0)
        return;
    dup2(screen.old_errors, STDERR_FILENO);
    lseek(screen.errors, 0, SEEK_SET);
    while ((n = read(screen.errors, bytes, sizeof bytes)) > 0)
        if (write(STDERR_FILENO, bytes, (size_t)n) < 0)
            break;
    close(screen.errors);
    close(screen.old_errors);
}

/* Colours for the kinds of cells: pair k + 1 is that of kind k. Terminals with eight colours have
 * no bright ones. */
static void choose_colours(void)
{
    screen.is_in_colour = has_colours() && strcmp(nl_langinfo(CODESET), "UTF-8") == 0 &&
                          has_colors() && start_color() == OK;
    if (!screen.is_in_colour)
        return;
    use_default_colors();
    for (short k = 0; k < NKINDS; k++)
        init_pair((short)(k + 1), kinds[k].colour < COLORS ? kinds[k].colour : COLOR_WHITE, -1);
}

/* Returns whether ncurses can draw on this terminal. It would end the tool if it finds out by
 * itself. */
static bool can_draw(void)
{
    int why;
    const char *name = getenv("TERM");
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        warnx("there is no terminal: use --batch");
        return false;
    }
    bool is_known = setupterm(NULL, STDOUT_FILENO, &why) == OK;
    bool has_cursor = is_known && cursor_address != NULL && clear_screen != NULL;
    if (is_known)
        del_curterm(cur_term);
    if (has_cursor)
        return true;
    warnx("the terminal (TERM is %s) has no screen that mem knows how to draw on: use --batch",
          name == NULL ? "not set" : name);
    return false;
}

bool screen_begin(void)
{
    if (!can_draw())
        return false;
    hold_signals();
    if (newterm(NULL, stdout, stdin) == NULL)
        errx(UNKNOWN, "ncurses cannot draw on this terminal: use --batch");
    screen.is_there = true;
    atexit(screen_end);
    hold_errors();
    choose_colours();
    cbreak();
    noecho();
    nodelay(stdscr, true);
    curs_set(0);
    return true;
}

void screen_end(void)
{
    if (!screen.is_there)
        return;
    screen.is_there = false;
    curs_set(1);
    endwin();
    release_errors();
    close(screen.signals);
    sigprocmask(SIG_SETMASK, &screen.before, NULL);
}

/* --- drawing ------------------------------------------------------------------------------ */

void screen_clear(void)
{
    erase();
    screen.row = 0;
}

size_t screen_rows_left(void)
{
    return screen.row < LINES ? (size_t)(LINES - screen.row) : 0;
}

void screen_text(const char *text)
{
    attron(A_BOLD);
    while (*text != '\0' && screen_rows_left() > 0) {
        size_t n = strcspn(text, "\n");
        mvaddnstr(screen.row++, 0, text, n < (size_t)COLS ? (int)n : COLS);
        attroff(A_BOLD);
        text += n + (text[n] == '\n');
    }
    attroff(A_BOLD);
}

static void put_cell(const struct cell *c)
{
    if (!screen.is_in_colour) {
        addch((chtype)cell_letter(c));
        return;
    }
    attron(COLOR_PAIR(cell_kind(c) + 1));
    addstr(cell_shade(c));
    attroff(COLOR_PAIR(cell_kind(c) + 1));
}

void screen_cells(const struct map *m)
{
    int margin = COLS >= COLUMNS + 2 ? 2 : 0, width = COLS < COLUMNS ? COLS : COLUMNS;
    for (size_t i = 0; i < m->ncells && screen_rows_left() > 0; screen.row++) {
        move(screen.row, margin);
        for (size_t end = i + (size_t)width; i < end && i < m->ncells; i++)
            put_cell(&m->cells[i]);
    }
}

/* --- waiting ------------------------------------------------------------------------------ */

/* Ends or stops the tool as the signal does by itself. */
static void take_effect(int number)
{
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, number);
    signal(number, SIG_DFL);
    raise(number);
    sigprocmask(SIG_UNBLOCK, &one, NULL);
    sigprocmask(SIG_BLOCK, &one, NULL);
}

/* Ncurses asks for the size by itself when the screen begins; later it is told. */
static void resize(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
        resizeterm(size.ws_row, size.ws_col);
    clearok(curscr, true);
}

/* Handles the signals that have come. Returns whether there were any, so that all has to be drawn
 * anew. */
static bool handle_signals(void)
{
    struct signalfd_siginfo s;
    bool had_any = false;
    while (read(screen.signals, &s, sizeof s) == sizeof s) {
        had_any = true;
        if (s.ssi_signo == SIGTSTP) {
            curs_set(1);
            endwin();
            take_effect(SIGTSTP); /* it returns when the tool goes on */
        }
        if (s.ssi_signo == SIGTSTP || s.ssi_signo == SIGCONT) {
            reset_prog_mode();
            curs_set(0);
            resize();
        } else if (s.ssi_signo == SIGWINCH) {
            resize();
        } else {
            screen_end();
            take_effect((int)s.ssi_signo);
        }
    }
    return had_any;
}

int screen_wait(double seconds)
{
    double end = clock_seconds() + seconds;
    refresh();
    for (;;) {
        struct pollfd files[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                 {.fd = screen.signals, .events = POLLIN}};
        int key = getch();
        if (key != ERR)
            return key;
        double left = end - clock_seconds();
        if (seconds >= 0 && left <= 0)
            return SCREEN_TIME;
        if (poll(files, 2, seconds < 0 ? -1 : (int)(left * 1000) + 1) <= 0)
            continue;
        if (files[1].revents != 0 && handle_signals())
            return SCREEN_RESIZED;
        if ((files[0].revents & ~POLLIN) != 0)
            return SCREEN_GONE;
    }
}

#endif
