/* A locale with a decimal comma, made on the spot: few machines have one installed. */
#ifndef WEFT_TESTS_COMMA_LOCALE_H
#define WEFT_TESTS_COMMA_LOCALE_H

#include "tests/host/temp_folder.h"

#include <locale.h>

/* Compiles a locale into temp_folder and switches to it; back with setlocale(LC_ALL, "C"). False
 * when localedef or its character maps (Debian: locales) are not there. */
static inline bool comma_locale_enter(void) {
    static const char source[] = "comment_char %\nescape_char /\nLC_NUMERIC\ndecimal_point \",\"\n"
                                 "thousands_sep \".\"\ngrouping 3;3\nEND LC_NUMERIC\n";
    temp_text(temp_path("source"), source);
    char command[256];
    (void)snprintf(command, sizeof command,
                   "cd '%s' && localedef --no-archive -c -i ./source -f ANSI_X3.4-1968 ./xx_XX "
                   ">log 2>&1",
                   temp_folder);
    int ignored = system(command); /* 1 for the categories it fills in by itself */
    (void)ignored;
    if (setenv("LOCPATH", temp_folder, 1) != 0 || !setlocale(LC_NUMERIC, "xx_XX")) return false;
    char shown[8];
    (void)snprintf(shown, sizeof shown, "%.1f", 0.5);
    assert_string_equal(shown, "0,5");
    return true;
}

#endif
