/* Sends plain talk to Telnyx, as `TalkRouter.take` does (native.h).
 *
 * A piece is plain when it is a whole frame of the holder of the floor that is due, for a connection that keeps up. At any other
 * piece the routine stops, and the Python goes on from there.
 */
#include "native.h"

#include <math.h>

/* Offsets in a piece of talk on the bus, and the size of its head: patchbay/protocol/batches.py. */
enum { KIND = 0, LENGTH = 4, TALKER = 8, CALL = 16, CALL_BYTES = 16, PIECE_BYTES = 32 };
enum { TALK = 1, TALK_PREEMPT = 3 };
enum { TOGETHER = 16 }; /* pieces that are prefetched together */
enum { FRAME_BYTES = 160, BASE64_BYTES = (FRAME_BYTES + 2) / 3 * 4, MESSAGE_MAX = 1024 };
static const char ENDS[] = "\"}}";
static const double FRAME_S = 0.020;

/* Set by `bind`. */
static PyTypeObject *conversation_type, *pacer_type, *floor_type, *send_queue_type;
static struct {
    Py_ssize_t pacer, floor, message_head, silent_codes, send_queue; /* of a Conversation */
    Py_ssize_t ahead_s, played_at, queue, tail, sent;                /* of a TalkPacer */
    Py_ssize_t admin, release_s, sent_at, spoke_at, talker;          /* of a Floor */
    Py_ssize_t behind, fd, batch_writers;                            /* of a SendQueue */
} slots;

static bool ran_python; /* borrowed references may be invalid */

/* The objects of one piece of talk. The references are borrowed, and valid until Python code has run. */
struct piece {
    PyObject *conversation, *pacer, *floor, *send_queue;
    const uint8_t *payload;
};

static bool
is_of(PyObject *object, PyTypeObject *type)
{
    return object != NULL && Py_IS_TYPE(object, type);
}

static double
seconds_in_slot(PyObject *object, Py_ssize_t offset)
{
    PyObject *value = SLOT(object, offset);
    return value != NULL && PyFloat_CheckExact(value) ? PyFloat_AS_DOUBLE(value) : NAN;
}

/* Tell whether the talker has the floor (`Floor.renew`). */
static bool
has_floor(PyObject *floor, uint64_t talker, bool preempts, double now)
{
    PyObject *holder = SLOT(floor, slots.talker);
    if (holder == NULL || !PyLong_CheckExact(holder) || SLOT(floor, slots.admin) != (preempts ? Py_True : Py_False))
        return false;
    uint64_t number = PyLong_AsUnsignedLongLong(holder);
    if (number == (uint64_t)-1 && PyErr_Occurred()) {
        PyErr_Clear();
        return false;
    }
    return number == talker && now - seconds_in_slot(floor, slots.sent_at) < seconds_in_slot(floor, slots.release_s);
}

/* Tell whether a whole frame is due, and no other frame waits (`TalkPacer.pass_through`). */
static bool
is_due(PyObject *pacer, double now)
{
    PyObject *queue = SLOT(pacer, slots.queue), *tail = SLOT(pacer, slots.tail);
    return queue != NULL && PyObject_Length(queue) == 0 && tail != NULL && PyByteArray_CheckExact(tail) &&
           PyByteArray_GET_SIZE(tail) == 0 &&
           seconds_in_slot(pacer, slots.played_at) - seconds_in_slot(pacer, slots.ahead_s) <= now;
}

static bool
keeps_up(PyObject *send_queue)
{
    PyObject *batch_writers = SLOT(send_queue, slots.batch_writers);
    return SLOT(send_queue, slots.behind) == Py_False && batch_writers != NULL && PyTuple_CheckExact(batch_writers) &&
           PyTuple_GET_SIZE(batch_writers) == 0;
}

static bool
is_silent(PyObject *silent_codes, const uint8_t *payload)
{
    for (int i = 0; i < FRAME_BYTES; i++)
        if (memchr(PyBytes_AS_STRING(silent_codes), payload[i], (size_t)PyBytes_GET_SIZE(silent_codes)) == NULL)
            return false;
    return true;
}

/* Tell whether a piece is plain, and find its objects. */
static bool
is_plain(struct piece *piece, PyObject *conversation, const uint8_t *data, double now)
{
    if (!is_of(conversation, conversation_type) || read_u32(data + LENGTH) != FRAME_BYTES ||
        (data[KIND] != TALK && data[KIND] != TALK_PREEMPT))
        return false;
    PyObject *silent_codes = SLOT(conversation, slots.silent_codes), *message_head = SLOT(conversation, slots.message_head);
    *piece = (struct piece){conversation, SLOT(conversation, slots.pacer), SLOT(conversation, slots.floor),
                            SLOT(conversation, slots.send_queue), data + PIECE_BYTES};
    return is_of(piece->pacer, pacer_type) && is_of(piece->floor, floor_type) && is_of(piece->send_queue, send_queue_type) &&
           silent_codes != NULL && PyBytes_CheckExact(silent_codes) && message_head != NULL && PyBytes_CheckExact(message_head) &&
           PyBytes_GET_SIZE(message_head) <= MESSAGE_MAX - BASE64_BYTES - (Py_ssize_t)sizeof ENDS &&
           has_floor(piece->floor, read_u64(data + TALKER), data[KIND] == TALK_PREEMPT, now) &&
           is_due(piece->pacer, now) && keeps_up(piece->send_queue);
}

/* Encode a whole frame in base64 (RFC 4648 §4). The last byte is padded. */
static void
encode(const uint8_t *in, uint8_t *out)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    int at = 0;
    for (; at + 3 <= FRAME_BYTES; at += 3, out += 4) {
        uint32_t three = (uint32_t)in[at] << 16 | (uint32_t)in[at + 1] << 8 | in[at + 2];
        out[0] = (uint8_t)alphabet[three >> 18];
        out[1] = (uint8_t)alphabet[three >> 12 & 63];
        out[2] = (uint8_t)alphabet[three >> 6 & 63];
        out[3] = (uint8_t)alphabet[three & 63];
    }
    out[0] = (uint8_t)alphabet[in[at] >> 2];
    out[1] = (uint8_t)alphabet[(in[at] & 3) << 4];
    out[2] = out[3] = '=';
}

static int
write_message(const struct piece *piece)
{
    uint8_t message[MESSAGE_MAX];
    PyObject *message_head = SLOT(piece->conversation, slots.message_head);
    Py_ssize_t size = PyBytes_GET_SIZE(message_head);
    memcpy(message, PyBytes_AS_STRING(message_head), (size_t)size);
    encode(piece->payload, message + size);
    memcpy(message + size + BASE64_BYTES, ENDS, sizeof ENDS - 1);
    size += BASE64_BYTES + (Py_ssize_t)sizeof ENDS - 1;
    int fd = (int)number_in_slot(piece->send_queue, slots.fd, -1);
    ssize_t sent = send_now(fd, message, (size_t)size);
    if (sent == size)
        return 0;
    ran_python = true;
    PyObject *send_queue = Py_NewRef(piece->send_queue);
    PyObject *handled = PyObject_CallMethod(send_queue, "on_send_result", "y#n", (const char *)message, size,
                                         (Py_ssize_t)sent);
    Py_DECREF(send_queue);
    Py_XDECREF(handled);
    return handled == NULL ? -1 : 0;
}

static int
take(const struct piece *piece, PyObject *now)
{
    double played_at = seconds_in_slot(piece->pacer, slots.played_at), at = PyFloat_AS_DOUBLE(now);
    if (set_slot(piece->floor, slots.sent_at, Py_NewRef(now)) < 0 ||
        (!is_silent(SLOT(piece->conversation, slots.silent_codes), piece->payload) &&
         set_slot(piece->floor, slots.spoke_at, Py_NewRef(now)) < 0) ||
        set_slot(piece->pacer, slots.played_at, PyFloat_FromDouble((played_at > at ? played_at : at) + FRAME_S)) < 0 ||
        set_slot(piece->pacer, slots.sent, PyLong_FromLongLong(number_in_slot(piece->pacer, slots.sent, 0) + 1)) < 0)
        return -1;
    return write_message(piece);
}

/* Find the conversations of the next pieces, up to TOGETHER or the first piece without one. Return their number; -1 with an
 * exception. */
static int
gather(PyObject **found, PyObject *streams, PyObject *conversations, const uint8_t *data, Py_ssize_t at, Py_ssize_t size)
{
    int count = 0, known = 0;
    for (; count < TOGETHER && at >= 0 && size - at >= PIECE_BYTES + FRAME_BYTES; at += PIECE_BYTES + FRAME_BYTES) {
        PyObject *call = PyBytes_FromStringAndSize((const char *)data + at + CALL, CALL_BYTES);
        if (call == NULL)
            return -1;
        found[count] = PyDict_GetItemWithError(streams, call);
        Py_DECREF(call);
        if (found[count] == NULL)
            break;
        prefetch_object(found[count++]);
    }
    while (!PyErr_Occurred() && known < count &&
           (found[known] = PyDict_GetItemWithError(conversations, found[known])) != NULL)
        prefetch_object(found[known++]);
    return PyErr_Occurred() ? -1 : known;
}

/* Prefetch all objects that the pieces need; see `fetch` in reading.h. */
static void
fetch(PyObject *const *conversations, int count)
{
    for (int i = 0; i < count; i++)
        if (is_of(conversations[i], conversation_type)) {
            prefetch_object(SLOT(conversations[i], slots.pacer));
            prefetch_object(SLOT(conversations[i], slots.floor));
            prefetch_object(SLOT(conversations[i], slots.send_queue));
            prefetch_object(SLOT(conversations[i], slots.message_head));
        }
    for (int i = 0; i < count; i++) {
        if (!is_of(conversations[i], conversation_type))
            continue;
        PyObject *pacer = SLOT(conversations[i], slots.pacer), *floor = SLOT(conversations[i], slots.floor);
        if (is_of(pacer, pacer_type)) {
            __builtin_prefetch(SLOT(pacer, slots.played_at));
            __builtin_prefetch(SLOT(pacer, slots.queue));
            __builtin_prefetch(SLOT(pacer, slots.tail));
        }
        if (is_of(floor, floor_type)) {
            __builtin_prefetch(SLOT(floor, slots.talker));
            __builtin_prefetch(SLOT(floor, slots.sent_at));
        }
    }
}

PyDoc_STRVAR(take_talk_doc,
             "take_talk(message: bytes, at: int, streams: dict, conversations: dict, now: float) -> int\n\n"
             "Take pieces of talk as long as they are plain. Return the offset of the first other piece.");

static PyObject *
take_talk(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *message, *streams, *conversations, *now, *found[TOGETHER];
    Py_ssize_t at;
    struct piece piece;
    int count, done;
    if (!PyArg_ParseTuple(args, "SnO!O!O!", &message, &at, &PyDict_Type, &streams, &PyDict_Type, &conversations,
                          &PyFloat_Type, &now))
        return NULL;
    const uint8_t *data = (const uint8_t *)PyBytes_AS_STRING(message);
    do {
        if ((count = gather(found, streams, conversations, data, at, PyBytes_GET_SIZE(message))) < 0)
            return NULL;
        fetch(found, count);
        ran_python = false;
        for (done = 0; done < count && !ran_python; done++) {
            if (!is_plain(&piece, found[done], data + at, PyFloat_AS_DOUBLE(now)))
                return PyLong_FromSsize_t(at);
            if (take(&piece, now) < 0)
                return NULL;
            at += PIECE_BYTES + FRAME_BYTES;
        }
    } while (done > 0);
    return PyLong_FromSsize_t(at);
}

PyDoc_STRVAR(bind_doc, "bind(conversation: type, pacer: type, floor: type, send_queue: type) -> None\n\n"
                       "Set the classes that `take_talk` works on.");

static PyObject *
bind_classes(PyObject *module, PyObject *args)
{
    (void)module;
    PyTypeObject *types[4], **kept[] = {&conversation_type, &pacer_type, &floor_type, &send_queue_type};
    if (!PyArg_ParseTuple(args, "O!O!O!O!", &PyType_Type, &types[0], &PyType_Type, &types[1], &PyType_Type, &types[2],
                          &PyType_Type, &types[3]))
        return NULL;
    const struct wanted_slot wanted[] = {
        {types[0], "pacer", &slots.pacer},
        {types[0], "floor", &slots.floor},
        {types[0], "message_head", &slots.message_head},
        {types[0], "silent_codes", &slots.silent_codes},
        {types[0], "send_queue", &slots.send_queue},
        {types[1], "_ahead_s", &slots.ahead_s},
        {types[1], "_played_at", &slots.played_at},
        {types[1], "_queue", &slots.queue},
        {types[1], "_tail", &slots.tail},
        {types[1], "sent", &slots.sent},
        {types[2], "_admin", &slots.admin},
        {types[2], "_release_s", &slots.release_s},
        {types[2], "_sent_at", &slots.sent_at},
        {types[2], "_spoke_at", &slots.spoke_at},
        {types[2], "_talker", &slots.talker},
        {types[3], "behind", &slots.behind},
        {types[3], "fd", &slots.fd},
        {types[3], "_batch_writers", &slots.batch_writers},
    };
    if (find_slots(wanted, sizeof wanted / sizeof *wanted) < 0)
        return NULL;
    for (int i = 0; i < 4; i++)
        Py_XSETREF(*kept[i], (PyTypeObject *)Py_NewRef(types[i]));
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"take_talk", take_talk, METH_VARARGS, take_talk_doc},
    {"bind", bind_classes, METH_VARARGS, bind_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "ingest_talk", .m_doc = "Sends talk to Telnyx.", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC
PyInit_ingest_talk(void)
{
    return make_module(&definition);
}
