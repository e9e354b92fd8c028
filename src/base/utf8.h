/* UTF-8, RFC 3629: no overlong forms, no surrogates, nothing past U+10FFFF. */
#pragma once

#include <stddef.h>

/* The number of bytes at the start of DATA that are whole, valid characters: LEN when all are. */
size_t utf8_valid(const char *data, size_t len);

/*
 * Puts '?' for every byte that is not part of a valid character and for every control character (C0, DEL, C1): what quotes
 * hostile names can then neither drive a terminal nor break a log line.
 */
void utf8_neutralize(char *s);
