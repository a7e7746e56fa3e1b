/* The hot path of ingest in C: what `Pump.round`, `PlainWay.handle` and `Intake.on_text` do with media frames that are as
 * nearly all are.
 *
 * Knows one kind of input: whole text frames of RFC 6455, each with one media message of Telnyx in plain ASCII, whose chunk
 * has its turn. What a socket holds beyond that is handed to the Python (`rest`), from the first byte that is not plain; and so
 * is every socket with which anything is out of the ordinary, before anything of it was changed. See ../runtime/native.h.
 */
#include "../runtime/native.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { EVENTS_PER_ROUND = 2048, COUNTED_AT_ONCE = 50, LONGEST = 8192, TOGETHER = 16 };
enum { FRAME_HEADER_BYTES = 8, ENTRY_BYTES = 48, TAIL_AT = 24, TAIL_BYTES = ENTRY_BYTES - TAIL_AT, DIGITS_MAX = 15 };

/* Set by `bind`. */
static PyTypeObject *peer_type, *intake_type, *lane_type;
static PyObject *on_text; /* `Intake.on_text` */
static struct {
    Py_ssize_t plain, uncounted, last_heard, on_text, take_soon, untaken; /* of a PlainWay */
    Py_ssize_t inbound, outbound, sinks, tail;                            /* of an Intake */
    Py_ssize_t turn, step, head;                                          /* of a Lane */
} slots;

/* ---- a media message */

struct text {
    const uint8_t *at;
    Py_ssize_t size;
};

struct cursor {
    const uint8_t *at, *end;
};

/* What a message says. All of it must be there, once. */
enum { EVENT = 1, MEDIA = 2, SEQUENCE = 4, TRACK = 8, CHUNK = 16, TIMESTAMP = 32, PAYLOAD = 64, ALL = 127 };
struct media {
    unsigned seen;
    bool is_outbound;
    int64_t sequence_number, chunk, timestamp;
    struct text payload;
};

static void
skip_space(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t'))
        c->at++;
}

static bool
take(struct cursor *c, uint8_t wanted)
{
    skip_space(c);
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

/* A string without escapes, of printable ASCII. */
static bool
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

/* A string whose characters `decode` will look at. */
static bool
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

static bool
is(struct text text, const char *name)
{
    return text.size == (Py_ssize_t)strlen(name) && memcmp(text.at, name, (size_t)text.size) == 0;
}

/* A number of 0 or more, as such or as text, without leading zeros. */
static bool
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

static bool
see(struct media *media, unsigned what)
{
    bool first = !(media->seen & what);
    media->seen |= what;
    return first;
}

/* The value of a key of `media`. */
static bool
take_inner(struct cursor *c, struct text key, struct media *media)
{
    struct text text;
    if (is(key, "payload"))
        return take_base64(c, &media->payload) && see(media, PAYLOAD);
    if (is(key, "chunk"))
        return take_number(c, &media->chunk) && see(media, CHUNK);
    if (is(key, "timestamp"))
        return take_number(c, &media->timestamp) && see(media, TIMESTAMP);
    if (!take_text(c, &text))
        return false;
    if (!is(key, "track"))
        return true;
    media->is_outbound = is(text, "outbound");
    return (media->is_outbound || is(text, "inbound")) && see(media, TRACK);
}

static bool take_object(struct cursor *c, struct media *media, bool outer);

/* The value of a key of the message. */
static bool
take_outer(struct cursor *c, struct text key, struct media *media)
{
    struct text text;
    if (is(key, "media"))
        return take_object(c, media, false) && see(media, MEDIA);
    if (is(key, "sequence_number"))
        return take_number(c, &media->sequence_number) && see(media, SEQUENCE);
    if (!take_text(c, &text))
        return false;
    return !is(key, "event") || (is(text, "media") && see(media, EVENT));
}

static bool
take_object(struct cursor *c, struct media *media, bool outer)
{
    if (!take(c, '{'))
        return false;
    do {
        struct text key;
        if (!take_text(c, &key) || !take(c, ':') || !(outer ? take_outer : take_inner)(c, key, media))
            return false;
    } while (take(c, ','));
    return take(c, '}');
}

/* Whether this is a media message, as plain as nearly all are. */
static bool
understand(const uint8_t *message, Py_ssize_t size, struct media *media)
{
    struct cursor c = {message, message + size};
    media->seen = 0;
    if (!take_object(&c, media, true))
        return false;
    skip_space(&c);
    return c.at == c.end && media->seen == ALL;
}

/* ---- its audio */

static uint8_t sextets[256]; /* of base64 (RFC 4648 §4); 0x80: no such character */

static void
fill_sextets(void)
{
    const char *alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    memset(sextets, 0x80, sizeof sextets);
    for (int i = 0; i < 64; i++)
        sextets[(uint8_t)alphabet[i]] = (uint8_t)i;
}

/* How many bytes a text of base64 stands for, its padding included; 0 when it can't be. */
static Py_ssize_t
decoded_size(struct text text)
{
    if (text.size == 0 || text.size % 4)
        return 0;
    return text.size / 4 * 3 - (text.at[text.size - 1] == '=') - (text.at[text.size - 2] == '=');
}

/* Decode it. False when there is anything that does not belong there. */
static bool
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
        if (!padded || (left == 2 ? c & 3 : b & 15)) /* bits that stand for nothing */
            return false;
        wrong |= a | b | c;
        out[0] = (uint8_t)(a << 2 | b >> 4);
        if (left == 2)
            out[1] = (uint8_t)(b << 4 | c >> 2);
    }
    return !(wrong & 0x80);
}

/* ---- what becomes of it */

/* The entry of a frame of audio (actors/wire/bus.py); NULL, without an exception, when its base64 is none. */
static PyObject *
make_entry(const struct media *media, uint32_t head, PyObject *tail)
{
    Py_ssize_t size = decoded_size(media->payload);
    PyObject *entry = size ? PyBytes_FromStringAndSize(NULL, ENTRY_BYTES + size) : NULL;
    if (entry == NULL)
        return NULL;
    uint8_t *at = (uint8_t *)PyBytes_AS_STRING(entry);
    uint32_t front[4] = {head, (uint32_t)media->chunk, (uint32_t)media->sequence_number, (uint32_t)size};
    memcpy(at, front, sizeof front);
    memcpy(at + sizeof front, &media->timestamp, sizeof media->timestamp);
    memcpy(at + TAIL_AT, PyBytes_AS_STRING(tail), TAIL_BYTES);
    if (!decode(media->payload, at + ENTRY_BYTES))
        Py_CLEAR(entry);
    return entry;
}

/* `Intake.on_text`: 1 when this was dealt with, 0 when it is the Python's, -1 with an exception. */
static int
take_media(PyObject *intake, const uint8_t *message, Py_ssize_t size)
{
    struct media media;
    PyObject *sinks = SLOT(intake, slots.sinks), *tail = SLOT(intake, slots.tail);
    if (!understand(message, size, &media) || sinks == NULL || !PyTuple_CheckExact(sinks) || tail == NULL ||
        !PyBytes_CheckExact(tail) || PyBytes_GET_SIZE(tail) != TAIL_BYTES)
        return 0;
    PyObject *lane = SLOT(intake, media.is_outbound ? slots.outbound : slots.inbound);
    if (lane == NULL || !Py_IS_TYPE(lane, lane_type))
        return 0;
    int64_t step = number_in_slot(lane, slots.step, 0), head = number_in_slot(lane, slots.head, -1);
    if (media.chunk != number_in_slot(lane, slots.turn, -1) || step < 1 || head < 0 || head > UINT32_MAX ||
        media.chunk > INT32_MAX || media.sequence_number > INT32_MAX)
        return 0;
    PyObject *entry = make_entry(&media, (uint32_t)head, tail);
    if (entry == NULL)
        return PyErr_Occurred() ? -1 : 0;
    int result = set_slot(lane, slots.turn, PyLong_FromLongLong(media.chunk + step));
    for (Py_ssize_t i = 0; result == 0 && i < PyTuple_GET_SIZE(sinks); i++)
        result = PyList_Append(PyTuple_GET_ITEM(sinks, i), entry);
    Py_DECREF(entry);
    return result == 0 ? 1 : -1;
}

/* ---- what a socket holds */

/* Whose messages a peer's are, if nothing is out of the ordinary with it; else NULL. */
static PyObject *
reader_of(PyObject *peer)
{
    if (!PyObject_TypeCheck(peer, peer_type) || SLOT(peer, slots.plain) != Py_True ||
        SLOT(peer, slots.take_soon) != Py_False)
        return NULL;
    PyObject *method = SLOT(peer, slots.on_text);
    if (method == NULL || !PyMethod_Check(method) || PyMethod_GET_FUNCTION(method) != on_text)
        return NULL;
    return PyMethod_GET_SELF(method);
}

static inline bool
is_intake(PyObject *reader)
{
    return reader != NULL && Py_IS_TYPE(reader, intake_type);
}

/* RFC 6455 §5.3. */
static void
unmask(uint8_t *restrict out, const uint8_t *restrict in, Py_ssize_t size, const uint8_t *key)
{
    uint32_t four = read_u32(key);
    Py_ssize_t at = 0;
    for (; size - at >= 4; at += 4) {
        uint32_t plain = read_u32(in + at) ^ four;
        memcpy(out + at, &plain, sizeof plain);
    }
    for (; at < size; at++)
        out[at] = in[at] ^ key[at & 3];
}

/* The frame at `at`, if it is plain: where it ends; 0 when it is not, -1 with an exception. */
static Py_ssize_t
take_frame(PyObject *intake, const uint8_t *data, Py_ssize_t at, Py_ssize_t size)
{
    static uint8_t message[LONGEST];
    if (size - at <= FRAME_HEADER_BYTES || data[at] != 0x81 || data[at + 1] != 0xFE)
        return 0;
    Py_ssize_t length = data[at + 2] << 8 | data[at + 3], payload = at + FRAME_HEADER_BYTES;
    if (length > LONGEST || length > size - payload)
        return 0;
    unmask(message, data + payload, length, data + at + 4);
    int taken = take_media(intake, message, length);
    return taken > 0 ? payload + length : taken;
}

/* All plain frames of a reading. Returns how far they go; -1 with an exception. */
static Py_ssize_t
take_frames(PyObject *peer, PyObject *intake, const uint8_t *data, Py_ssize_t size, PyObject *now)
{
    int64_t before = number_in_slot(peer, slots.uncounted, COUNTED_AT_ONCE), uncounted = before;
    Py_ssize_t at = 0, end;
    while (at < size && uncounted + 1 < COUNTED_AT_ONCE) {
        if ((end = take_frame(intake, data, at, size)) < 0)
            return -1;
        if (end == 0)
            break;
        at = end;
        uncounted++;
    }
    if (at == 0)
        return 0;
    int64_t untaken = number_in_slot(peer, slots.untaken, 0) + at;
    if (set_slot(peer, slots.uncounted, PyLong_FromLongLong(uncounted)) < 0 ||
        set_slot(peer, slots.untaken, PyLong_FromLongLong(untaken)) < 0 ||
        set_slot(peer, slots.last_heard, Py_NewRef(now)) < 0)
        return -1;
    return at;
}

struct round {
    PyObject *peers, *now, *ripe, *rest;
    Py_buffer buffer;
    Py_ssize_t late_bytes;
};

static int
leave_to_python(struct round *r, int fd, uint32_t events, Py_ssize_t at, Py_ssize_t size)
{
    PyObject *done = PyObject_CallFunction(r->rest, "iIOnn", fd, (unsigned)events, r->now, at, size);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static void
prefetch_turn(PyObject *lane)
{
    if (lane != NULL && Py_IS_TYPE(lane, lane_type))
        prefetch_object(SLOT(lane, slots.turn));
}

/* Have all that will be needed come from memory while something else is being done: no two frames in a row are of the same
 * call, so it has left the processor's caches, and to wait for one object after the other is most of what a frame costs. */
static void
fetch(struct round *r, const struct epoll_event *events, int count)
{
    PyObject *peers[TOGETHER], *intakes[TOGETHER];
    for (int i = 0; i < count; i++) {
        int fd = events[i].data.fd;
        peers[i] = fd < PyList_GET_SIZE(r->peers) ? PyList_GET_ITEM(r->peers, fd) : Py_None;
        prefetch_object(peers[i]);
    }
    for (int i = 0; i < count; i++)
        if (PyObject_TypeCheck(peers[i], peer_type)) {
            prefetch_object(SLOT(peers[i], slots.on_text));
            prefetch_object(SLOT(peers[i], slots.untaken));
        }
    for (int i = 0; i < count; i++) {
        intakes[i] = reader_of(peers[i]);
        prefetch_object(intakes[i]);
    }
    for (int i = 0; i < count; i++)
        if (is_intake(intakes[i])) {
            prefetch_object(SLOT(intakes[i], slots.inbound));
            prefetch_object(SLOT(intakes[i], slots.outbound));
            prefetch_object(SLOT(intakes[i], slots.tail));
        }
    for (int i = 0; i < count; i++)
        if (is_intake(intakes[i])) {
            prefetch_turn(SLOT(intakes[i], slots.inbound));
            prefetch_turn(SLOT(intakes[i], slots.outbound));
        }
}

static int
serve_one(struct round *r, int fd, uint32_t events)
{
    PyObject *peer = fd < PyList_GET_SIZE(r->peers) ? PyList_GET_ITEM(r->peers, fd) : Py_None;
    if (peer == Py_None)
        return 0;
    PyObject *intake = events == EPOLLIN ? reader_of(peer) : NULL;
    if (!is_intake(intake))
        return leave_to_python(r, fd, events, 0, -1);
    ssize_t size = recv(fd, r->buffer.buf, (size_t)r->buffer.len, MSG_PEEK | MSG_DONTWAIT);
    if (size < 0)
        return errno == EAGAIN ? 0 : leave_to_python(r, fd, events, 0, -1);
    Py_ssize_t at = take_frames(peer, intake, r->buffer.buf, size, r->now);
    if (at < 0)
        return -1;
    if (at < size || size == 0 || size == r->buffer.len)
        return leave_to_python(r, fd, events, at, size);
    return number_in_slot(peer, slots.untaken, 0) < r->late_bytes ? 0 : PyList_Append(r->ripe, peer);
}

PyDoc_STRVAR(serve_doc,
             "serve(epoll, peers: list, buffer: bytearray, now: float, ripe: list, late_bytes: int, rest) -> int\n\n"
             "Serve what an epoll has (edge-triggered; sockets that remember how far one has looked). `ripe` gets the\n"
             "peers of which so much is untaken. rest(fd, events, now, at, size) is called where something is left to\n"
             "do: the buffer has so many bytes, handled up to `at`; size -1: nothing has been looked at. Returns how\n"
             "many connections there were.");

static PyObject *
serve(PyObject *module, PyObject *args)
{
    (void)module;
    struct epoll_event events[EVENTS_PER_ROUND];
    struct round r;
    int epoll;
    if (!PyArg_ParseTuple(args, "iO!w*OO!nO", &epoll, &PyList_Type, &r.peers, &r.buffer, &r.now, &PyList_Type, &r.ripe,
                          &r.late_bytes, &r.rest))
        return NULL;
    int count = epoll_wait(epoll, events, EVENTS_PER_ROUND, 0), failed = peer_type == NULL;
    if (failed)
        PyErr_SetString(PyExc_TypeError, "not bound");
    else if (count < 0)
        PyErr_SetFromErrno(PyExc_OSError);
    for (int i = 0; i < count && !failed; i++) {
        if (i % TOGETHER == 0)
            fetch(&r, events + i, count - i < TOGETHER ? count - i : TOGETHER);
        failed = serve_one(&r, events[i].data.fd, events[i].events);
    }
    PyBuffer_Release(&r.buffer);
    return failed || count < 0 ? NULL : PyLong_FromLong(count);
}

PyDoc_STRVAR(bind_doc, "bind(peer: type, intake: type, lane: type, on_text: function) -> None\n\n"
                       "Which classes it deals with, and whose messages it understands.");

static PyObject *
bind_classes(PyObject *module, PyObject *args)
{
    (void)module;
    PyTypeObject *peer, *intake, *lane;
    PyObject *function;
    if (!PyArg_ParseTuple(args, "O!O!O!O", &PyType_Type, &peer, &PyType_Type, &intake, &PyType_Type, &lane, &function))
        return NULL;
    const struct {
        PyTypeObject *type;
        const char *name;
        Py_ssize_t *place;
    } wanted[] = {
        {peer, "_plain", &slots.plain},         {peer, "_uncounted", &slots.uncounted},
        {peer, "last_heard", &slots.last_heard}, {peer, "on_text", &slots.on_text},
        {peer, "take_soon", &slots.take_soon},   {peer, "untaken", &slots.untaken},
        {intake, "inbound", &slots.inbound},     {intake, "outbound", &slots.outbound},
        {intake, "sinks", &slots.sinks},         {intake, "tail", &slots.tail},
        {lane, "turn", &slots.turn},             {lane, "step", &slots.step},
        {lane, "head", &slots.head},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if ((*wanted[i].place = place_of_slot(wanted[i].type, wanted[i].name)) < 0)
            return NULL;
    Py_XSETREF(on_text, Py_NewRef(function));
    Py_XSETREF(intake_type, (PyTypeObject *)Py_NewRef(intake));
    Py_XSETREF(lane_type, (PyTypeObject *)Py_NewRef(lane));
    Py_XSETREF(peer_type, (PyTypeObject *)Py_NewRef(peer));
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"serve", serve, METH_VARARGS, serve_doc},
    {"bind", bind_classes, METH_VARARGS, bind_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_native", .m_doc = "Ingest's hot path.", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC
PyInit__native(void)
{
    fill_sextets();
    return PyModule_Create(&definition);
}
