/* labels: unit */
#include "host/interrupt.h"

#include "tests/check.h"

#include <signal.h>

static bool is_default(int number) {
    struct sigaction action;
    assert_int_equal(sigaction(number, NULL, &action), 0);
    return action.sa_handler == SIG_DFL;
}

/* A sweep's request stops a run and counts as none of the user's signals, before them and after. */
static void request(void) {
    assert_int_equal(raise(WH_INTERRUPT_REQUEST), 0);
    assert_int_equal(raise(WH_INTERRUPT_REQUEST), 0);
}

/* The first signal is only noted; after it Ctrl-C ends the program, and what batch systems repeat
 * does not. */
static void first_is_noted_ctrl_c_then_kills(void **state) {
    (void)state;
    assert_int_equal(wh_interrupt_signal(), 0);
    wh_interrupt_install();
    assert_false(is_default(SIGINT) || is_default(SIGTERM) || is_default(SIGUSR1));
    request();
    assert_int_equal(wh_interrupt_signal(), WH_INTERRUPT_REQUEST);
    assert_false(is_default(SIGINT) || is_default(SIGTERM) || is_default(SIGUSR1));
    assert_int_equal(raise(SIGTERM), 0);
    assert_int_equal(wh_interrupt_signal(), SIGTERM);
    request();
    assert_int_equal(wh_interrupt_signal(), SIGTERM);
    assert_true(is_default(SIGINT));
    assert_int_equal(raise(SIGTERM), 0);
    assert_int_equal(raise(SIGUSR1), 0);
    assert_int_equal(wh_interrupt_signal(), SIGTERM);
    assert_false(is_default(SIGTERM) || is_default(SIGUSR1));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(first_is_noted_ctrl_c_then_kills)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
