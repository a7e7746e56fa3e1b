/* Parses plain messages: JSON as peers nearly always write it, and base64.
 *
 * JSON with escapes, characters other than printable ASCII, fractions, unexpected nesting or duplicate keys is not
 * plain, and is left to the Python. So these functions report no errors: they return false for messages that are not
 * plain.
 */
#ifndef PATCHBAY_MESSAGES_H
#define PATCHBAY_MESSAGES_H

#include "native.h"

enum { DIGITS_MAX = 15 }; /* below 2**53, as in patchbay/protocol/lenient_json.py */

struct text {
    const uint8_t *at;
    Py_ssize_t size;
};

struct cursor {
    const uint8_t *at, *end;
};

static inline void
skip_space(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t'))
        c->at++;
}

static inline bool
take(struct cursor *c, uint8_t wanted)
{
    skip_space(c);
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

/* Take a string of printable ASCII without escapes. */
static inline bool
take_text(struct cursor *c, struct text *text)
{
    if (!take(c, '"'))
        return false;
    const uint8_t *at = c->at;
    while (at < c->end && *at >= 0x20 && *at < 0x7F && *at != '"' && *at != '\\')
        at++;
    if (at == c->end || *at != '"')
        return false;
    *text = (struct text){c->at, at - c->at};
    c->at = at + 1;
    return true;
}

/* Take a string whose characters `decode` checks. */
static inline bool
take_base64(struct cursor *c, struct text *text)
{
    if (!take(c, '"'))
        return false;
    const uint8_t *end = memchr(c->at, '"', (size_t)(c->end - c->at));
    if (end == NULL)
        return false;
    *text = (struct text){c->at, end - c->at};
    c->at = end + 1;
    return true;
}

static inline bool
equals(struct text text, const char *name)
{
    return text.size == (Py_ssize_t)strlen(name) && memcmp(text.at, name, (size_t)text.size) == 0;
}

/* Take an integer of 0 or more without leading zeros, as a number or as a string. */
static inline bool
take_number(struct cursor *c, int64_t *number)
{
    skip_space(c);
    bool quoted = c->at < c->end && *c->at == '"';
    c->at += quoted;
    const uint8_t *begin = c->at;
    int64_t value = 0;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9' && c->at - begin < DIGITS_MAX)
        value = value * 10 + (*c->at++ - '0');
    *number = value;
    if (c->at == begin || (*begin == '0' && c->at - begin > 1) || c->at == c->end)
        return false;
    if (quoted)
        return *c->at++ == '"';
    return *c->at == ',' || *c->at == '}' || *c->at == ' '; /* no fraction, no exponent */
}

/* Record that a key was seen. Return false for a duplicate. */
static inline bool
set_seen(unsigned *seen, unsigned key)
{
    bool first = !(*seen & key);
    *seen |= key;
    return first;
}

/* Skip the value of an unknown key. */
static inline bool
skip_value(struct cursor *c)
{
    struct text text;
    int64_t number;
    skip_space(c);
    bool quoted = c->at < c->end && *c->at == '"';
    return quoted ? take_text(c, &text) : take_number(c, &number);
}

/* Take an object. `take_value` takes the value of each key. */
static inline bool
take_object(struct cursor *c, bool (*take_value)(struct cursor *, struct text key, void *), void *into)
{
    struct text key;
    if (!take(c, '{'))
        return false;
    do {
        if (!take_text(c, &key) || !take(c, ':') || !take_value(c, key, into))
            return false;
    } while (take(c, ','));
    return take(c, '}');
}

/* Take a whole message, which is an object. */
static inline bool
take_message(const uint8_t *message, Py_ssize_t size, bool (*take_value)(struct cursor *, struct text key, void *),
             void *into)
{
    struct cursor c = {message, message + size};
    if (!take_object(&c, take_value, into))
        return false;
    skip_space(&c);
    return c.at == c.end;
}

/* ---- base64 (RFC 4648 §4) */

static uint8_t sextets[256]; /* by character; 0x80: not in the alphabet */

static inline void
fill_sextets(void)
{
    const char *alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    memset(sextets, 0x80, sizeof sextets);
    for (int i = 0; i < 64; i++)
        sextets[(uint8_t)alphabet[i]] = (uint8_t)i;
}

/* Return the decoded size of padded base64; 0 when it is empty, or its length is invalid. */
static inline Py_ssize_t
decoded_size(struct text text)
{
    if (text.size == 0 || text.size % 4)
        return 0;
    return text.size / 4 * 3 - (text.at[text.size - 1] == '=') - (text.at[text.size - 2] == '=');
}

/* Decode base64. Return false when it is invalid. */
static inline bool
decode(struct text text, uint8_t *out)
{
    Py_ssize_t left = decoded_size(text);
    uint8_t wrong = 0;
    const uint8_t *at = text.at;
    for (; left >= 3; left -= 3, at += 4, out += 3) {
        uint8_t a = sextets[at[0]], b = sextets[at[1]], c = sextets[at[2]], d = sextets[at[3]];
        wrong |= a | b | c | d;
        out[0] = (uint8_t)(a << 2 | b >> 4);
        out[1] = (uint8_t)(b << 4 | c >> 2);
        out[2] = (uint8_t)(c << 6 | d);
    }
    if (left) {
        uint8_t a = sextets[at[0]], b = sextets[at[1]], c = left == 2 ? sextets[at[2]] : 0;
        bool padded = at[3] == '=' && (left == 2 || at[2] == '=');
        if (!padded || (left == 2 ? c & 3 : b & 15)) /* the unused bits must be 0 */
            return false;
        wrong |= a | b | c;
        out[0] = (uint8_t)(a << 2 | b >> 4);
        if (left == 2)
            out[1] = (uint8_t)(b << 4 | c >> 2);
    }
    return !(wrong & 0x80);
}

#endif
