/* Reads plain frames from many sockets, as `Poller.round` and `FastPath.handle` do, and passes each message to `take_plain`.
 *
 * A plain frame is a whole text message (RFC 6455). From the first other byte on, a socket is left to the Python (`rest`), and
 * so is each socket whose connection is not plain, before anything was changed. See native.h.
 */
#ifndef PATCHBAY_READING_H
#define PATCHBAY_READING_H

#include "native.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <time.h>

/* As in patchbay/net/poller.py, patchbay/websocket/fast_path.py and patchbay/net/turns.py. */
enum { EVENTS_PER_ROUND = 2048, MUST_WAIT = 1 << 16, COUNTED_AT_ONCE = 50, FEW_BYTES = 4096 };
enum { LONGEST_PLAIN = 8192, TOGETHER = 16, FRAME_HEADER_BYTES = 8 };

static const double BUNCHED_S = 10.0;

/* Set by `bind`. A reader is the object whose `on_text` gets the messages of a peer. */
static PyTypeObject *peer_type, *reader_type;
static PyObject *on_text; /* the method of the reader, which `take_plain` does in C */
static struct {
    Py_ssize_t bunched_at, on_fast_path, uncounted, last_heard, on_text, sock, take_soon, untaken;
} peer_slots;

/* Handle one message. Return 1 when it was handled, 0 when it is left to the Python, -1 with an exception. */
static int take_plain(PyObject *reader, const uint8_t *message, Py_ssize_t size, PyObject *now);

/* Prefetch the objects that a reader needs: in step 0 those in its slots, in step 1 those in their slots. */
static void prefetch_reader(PyObject *reader, int step);

static int
bind_reading(PyTypeObject *peer, PyTypeObject *reader, PyObject *method)
{
    const struct wanted_slot wanted[] = {
        {peer, "_bunched_at", &peer_slots.bunched_at},
        {peer, "_on_fast_path", &peer_slots.on_fast_path},
        {peer, "_uncounted", &peer_slots.uncounted},
        {peer, "last_heard", &peer_slots.last_heard},
        {peer, "on_text", &peer_slots.on_text},
        {peer, "sock", &peer_slots.sock},
        {peer, "take_soon", &peer_slots.take_soon},
        {peer, "untaken", &peer_slots.untaken},
    };
    if (find_slots(wanted, sizeof wanted / sizeof *wanted) < 0)
        return -1;
    Py_XSETREF(on_text, Py_NewRef(method));
    Py_XSETREF(reader_type, (PyTypeObject *)Py_NewRef(reader));
    Py_XSETREF(peer_type, (PyTypeObject *)Py_NewRef(peer));
    return 0;
}

/* Return the reader of a peer, borrowed and of any type; NULL when the peer is not plain. */
static PyObject *
reader_of(PyObject *peer)
{
    if (!PyObject_TypeCheck(peer, peer_type) || SLOT(peer, peer_slots.on_fast_path) != Py_True ||
        SLOT(peer, peer_slots.take_soon) != Py_False)
        return NULL;
    PyObject *method = SLOT(peer, peer_slots.on_text);
    if (method == NULL || !PyMethod_Check(method) || PyMethod_GET_FUNCTION(method) != on_text)
        return NULL;
    return PyMethod_GET_SELF(method);
}

static inline bool
is_reader(PyObject *reader)
{
    return reader != NULL && Py_IS_TYPE(reader, reader_type);
}

/* Unmask a payload (RFC 6455 §5.3). */
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

/* Handle the frame at `at`. Return the offset of its end; 0 when it is not plain, -1 with an exception. */
static Py_ssize_t
take_frame(PyObject *reader, const uint8_t *data, Py_ssize_t at, Py_ssize_t size, PyObject *now)
{
    static uint8_t message[LONGEST_PLAIN];
    if (size - at <= FRAME_HEADER_BYTES || data[at] != 0x81 || data[at + 1] != 0xFE)
        return 0;
    Py_ssize_t length = data[at + 2] << 8 | data[at + 3], payload = at + FRAME_HEADER_BYTES;
    if (length > LONGEST_PLAIN || length > size - payload)
        return 0;
    unmask(message, data + payload, length, data + at + 4);
    int taken = take_plain(reader, message, length, now);
    return taken > 0 ? payload + length : taken;
}

/* Handle plain frames from `begin` on, up to about `most` bytes. Return the offset behind them; -1 with an exception. */
static Py_ssize_t
take_frames(PyObject *peer, PyObject *reader, const uint8_t *data, Py_ssize_t begin, Py_ssize_t size, Py_ssize_t most,
            PyObject *now)
{
    int64_t uncounted = number_in_slot(peer, peer_slots.uncounted, COUNTED_AT_ONCE);
    Py_ssize_t at = begin, end;
    while (at < size && at - begin < most && uncounted + 1 < COUNTED_AT_ONCE) {
        if ((end = take_frame(reader, data, at, size, now)) < 0)
            return -1;
        if (end == 0)
            break;
        at = end;
        uncounted++;
    }
    if (at == begin)
        return begin;
    int64_t untaken = number_in_slot(peer, peer_slots.untaken, 0) + at - begin;
    if (set_slot(peer, peer_slots.uncounted, PyLong_FromLongLong(uncounted)) < 0 ||
        set_slot(peer, peer_slots.untaken, PyLong_FromLongLong(untaken)) < 0 ||
        set_slot(peer, peer_slots.last_heard, Py_NewRef(now)) < 0)
        return -1;
    return at;
}

struct round {
    PyObject *peers, *now, *handled, *rest;
    Py_buffer buffer;
    int late, is_long; /* is_long: the round has taken so long that peers with many frames must wait */
    Py_ssize_t enough;
};

static int
leave_to_python(struct round *r, int fd, uint32_t events, Py_ssize_t at, Py_ssize_t size)
{
    PyObject *done = PyObject_CallFunction(r->rest, "iIOnn", fd, (unsigned)events, r->now, at, size);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Prefetch the objects of several peers at once. Frames in a row are of different calls, so their objects are not in the
 * processor's caches, and to wait for one object after the other is most of the cost of a frame. */
static void
fetch(struct round *r, const struct epoll_event *events, int count)
{
    PyObject *peers[TOGETHER], *readers[TOGETHER];
    for (int i = 0; i < count; i++) {
        int fd = events[i].data.fd;
        peers[i] = fd < PyList_GET_SIZE(r->peers) ? PyList_GET_ITEM(r->peers, fd) : Py_None;
        prefetch_object(peers[i]);
    }
    for (int i = 0; i < count; i++)
        if (PyObject_TypeCheck(peers[i], peer_type)) {
            prefetch_object(SLOT(peers[i], peer_slots.on_text));
            prefetch_object(SLOT(peers[i], peer_slots.untaken));
        }
    for (int i = 0; i < count; i++) {
        readers[i] = reader_of(peers[i]);
        prefetch_object(readers[i]);
    }
    for (int step = 0; step < 2; step++)
        for (int i = 0; i < count; i++)
            if (is_reader(readers[i]))
                prefetch_reader(readers[i], step);
}

/* Choose when the kernel acknowledges messages. One that has arrived alone may be acknowledged later, together with output or
 * with the next message (RFC 1122, 4.2.3.2): a packet of its own costs more than to take the message. A peer that waits for
 * acknowledgements (Nagle's algorithm) sends several messages at once: then each is acknowledged at once for BUNCHED_S. */
static int
choose_acknowledgement(PyObject *peer, int fd, int64_t messages, PyObject *now)
{
    PyObject *bunched_at = SLOT(peer, peer_slots.bunched_at);
    int at_once = messages > 1;
    if (at_once && set_slot(peer, peer_slots.bunched_at, Py_NewRef(now)) < 0)
        return -1;
    if (messages < 1 || (!at_once && bunched_at != NULL && PyFloat_CheckExact(bunched_at) && PyFloat_CheckExact(now) &&
                         PyFloat_AS_DOUBLE(now) - PyFloat_AS_DOUBLE(bunched_at) < BUNCHED_S))
        return 0;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &at_once, sizeof at_once);
    return 0;
}

/* Serve a plain peer. */
static int
serve_plain(struct round *r, int fd, PyObject *peer, PyObject *reader)
{
    ssize_t size = recv(fd, r->buffer.buf, (size_t)r->buffer.len, MSG_PEEK | MSG_DONTWAIT);
    if (size < 0)
        return errno == EAGAIN ? 0 : leave_to_python(r, fd, EPOLLIN, 0, -1);
    Py_ssize_t begin = r->late ? 0 : (Py_ssize_t)number_in_slot(peer, peer_slots.untaken, PY_SSIZE_T_MAX);
    int64_t before = number_in_slot(peer, peer_slots.uncounted, 0);
    Py_ssize_t most = r->is_long ? FEW_BYTES : r->buffer.len;
    Py_ssize_t at = begin < size ? take_frames(peer, reader, r->buffer.buf, begin, size, most, r->now) : begin;
    int64_t messages = number_in_slot(peer, peer_slots.uncounted, 0) - before;
    if (at < 0 || (!r->late && choose_acknowledgement(peer, fd, messages, r->now) < 0))
        return -1;
    if (at != size || size == 0 || size == r->buffer.len)
        return leave_to_python(r, fd, at != size && at - begin >= most ? EPOLLIN | MUST_WAIT : EPOLLIN, at, size);
    return number_in_slot(peer, peer_slots.untaken, 0) < r->enough ? 0 : PyList_Append(r->handled, peer);
}

static int
serve_one(struct round *r, int fd, uint32_t events)
{
    PyObject *peer = fd < PyList_GET_SIZE(r->peers) ? PyList_GET_ITEM(r->peers, fd) : Py_None;
    if (peer == Py_None)
        return 0;
    PyObject *reader = events == EPOLLIN ? reader_of(peer) : NULL;
    if (!is_reader(reader))
        return leave_to_python(r, fd, events, 0, -1);
    Py_INCREF(peer);
    int failed = serve_plain(r, fd, peer, reader);
    Py_DECREF(peer);
    return failed;
}

PyDoc_STRVAR(serve_doc,
             "serve(epoll, peers: list, buffer: bytearray, now: float, late: bool, handled: list, enough: int, long_s: float,\n"
             "      rest) -> int\n\n"
             "Serve the sockets that an epoll reports (edge-triggered). Return their number. `late`: the sockets have a peek\n"
             "offset. `handled` gets the peers of which `enough` bytes are untaken. After `long_s` seconds, FEW_BYTES of each\n"
             "peer are handled, and the rest must wait. rest(fd, events, now, at, size) is called for sockets that are left to\n"
             "the Python: the buffer has `size` bytes, handled up to `at`; size -1: nothing was peeked at.");

static double
seconds(void)
{
    struct timespec now;
    return clock_gettime(CLOCK_MONOTONIC, &now) < 0 ? 0.0 : (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static PyObject *
serve(PyObject *module, PyObject *args)
{
    (void)module;
    struct epoll_event events[EVENTS_PER_ROUND];
    struct round r;
    int epoll;
    double long_s, began = seconds();
    if (!PyArg_ParseTuple(args, "iO!w*OpO!ndO", &epoll, &PyList_Type, &r.peers, &r.buffer, &r.now, &r.late, &PyList_Type,
                          &r.handled, &r.enough, &long_s, &r.rest))
        return NULL;
    r.is_long = 0;
    int count = epoll_wait(epoll, events, EVENTS_PER_ROUND, 0), failed = peer_type == NULL;
    if (failed)
        PyErr_SetString(PyExc_TypeError, "not bound");
    else if (count < 0)
        PyErr_SetFromErrno(PyExc_OSError);
    for (int i = 0; i < count && !failed; i++) {
        if (i % TOGETHER == 0) {
            r.is_long = seconds() - began >= long_s;
            fetch(&r, events + i, count - i < TOGETHER ? count - i : TOGETHER);
        }
        failed = serve_one(&r, events[i].data.fd, events[i].events);
    }
    PyBuffer_Release(&r.buffer);
    return failed || count < 0 ? NULL : PyLong_FromLong(count);
}

/* Take the handled bytes from a socket (`SocketReader._take`). TCP discards without copying; others copy into the buffer. */
static int
take_from(PyObject *peer, Py_buffer *buffer)
{
    int64_t left = number_in_slot(peer, peer_slots.untaken, 0);
    PyObject *sock = SLOT(peer, peer_slots.sock);
    if (set_slot(peer, peer_slots.untaken, PyLong_FromLong(0)) < 0)
        return -1;
    int fd = sock == NULL ? -1 : PyObject_AsFileDescriptor(sock);
    PyErr_Clear(); /* the socket was closed meanwhile */
    while (fd >= 0 && left > 0) {
        ssize_t taken = recv(fd, buffer->buf, (size_t)(left < buffer->len ? left : buffer->len), MSG_TRUNC | MSG_DONTWAIT);
        if (taken <= 0)
            break; /* the peer has reset the connection; the next peek reports that */
        left -= taken;
    }
    return 0;
}

PyDoc_STRVAR(take_doc, "take(handled: list, buffer: bytearray) -> None\n\n"
                       "Take the handled bytes from the sockets of these peers.");

static PyObject *
take_handled(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *handled;
    Py_buffer buffer;
    if (!PyArg_ParseTuple(args, "O!w*", &PyList_Type, &handled, &buffer))
        return NULL;
    int failed = 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(handled) && !failed; i++)
        prefetch_object(PyList_GET_ITEM(handled, i));
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(handled) && !failed; i++) {
        PyObject *peer = PyList_GET_ITEM(handled, i);
        if (peer_type != NULL && PyObject_TypeCheck(peer, peer_type))
            failed = take_from(peer, &buffer);
        else
            PyErr_SetString(PyExc_TypeError, "not a peer, or not bound"), failed = 1;
    }
    PyBuffer_Release(&buffer);
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

/* The methods of this file, for a module's table. */
#define READING_METHODS {"serve", serve, METH_VARARGS, serve_doc}, {"take", take_handled, METH_VARARGS, take_doc}

#endif
