/* Reads plain media messages of Telnyx, as `MediaReader.on_text` does (native.h).
 *
 * A message is plain when it is media as Telnyx sends it, in ASCII, and its chunk is the expected one.
 */
#include "messages.h"
#include "reading.h"

enum { ENTRY_BYTES = 52, TAIL_AT = 28, TAIL_BYTES = ENTRY_BYTES - TAIL_AT };

/* Set by `bind`. */
static PyTypeObject *track_type;
static struct {
    Py_ssize_t inbound, outbound, queues, tail;          /* of a MediaReader */
    Py_ssize_t expected_chunk, step, entry_head, offset; /* of a MediaTrack */
} slots;

/* The fields of a message. Each key must be there once. */
enum { EVENT = 1, MEDIA = 2, SEQUENCE = 4, TRACK = 8, CHUNK = 16, TIMESTAMP = 32, PAYLOAD = 64, ALL = 127 };
struct media {
    unsigned seen;
    bool is_outbound;
    int64_t sequence_number, chunk, timestamp;
    struct text payload;
};

/* Read the value of a key of `media`. */
static bool
take_inner(struct cursor *c, struct text key, void *into)
{
    struct media *media = into;
    struct text track;
    if (equals(key, "payload"))
        return take_base64(c, &media->payload) && set_seen(&media->seen, PAYLOAD);
    if (equals(key, "chunk"))
        return take_number(c, &media->chunk) && set_seen(&media->seen, CHUNK);
    if (equals(key, "timestamp"))
        return take_number(c, &media->timestamp) && set_seen(&media->seen, TIMESTAMP);
    if (!equals(key, "track"))
        return skip_value(c);
    if (!take_text(c, &track) || !set_seen(&media->seen, TRACK))
        return false;
    media->is_outbound = equals(track, "outbound");
    return media->is_outbound || equals(track, "inbound");
}

/* Read the value of a key of the message. */
static bool
take_outer(struct cursor *c, struct text key, void *into)
{
    struct media *media = into;
    struct text text;
    if (equals(key, "media"))
        return take_object(c, take_inner, media) && set_seen(&media->seen, MEDIA);
    if (equals(key, "sequence_number"))
        return take_number(c, &media->sequence_number) && set_seen(&media->seen, SEQUENCE);
    if (equals(key, "event"))
        return take_text(c, &text) && equals(text, "media") && set_seen(&media->seen, EVENT);
    return equals(key, "stream_id") ? take_text(c, &text) : skip_value(c);
}

/* Return the entry of a frame of audio (patchbay/protocol/batches.py); NULL without an exception when the base64 is malformed. */
static PyObject *
make_entry(const struct media *media, uint32_t head, int64_t position, PyObject *tail)
{
    Py_ssize_t size = decoded_size(media->payload);
    PyObject *entry = size ? PyBytes_FromStringAndSize(NULL, ENTRY_BYTES + size) : NULL;
    if (entry == NULL)
        return NULL;
    uint8_t *at = (uint8_t *)PyBytes_AS_STRING(entry);
    uint32_t front[5] = {head, (uint32_t)position, (uint32_t)media->chunk, (uint32_t)media->sequence_number, (uint32_t)size};
    memcpy(at, front, sizeof front);
    memcpy(at + sizeof front, &media->timestamp, sizeof media->timestamp);
    memcpy(at + TAIL_AT, PyBytes_AS_STRING(tail), TAIL_BYTES);
    if (!decode(media->payload, at + ENTRY_BYTES))
        Py_CLEAR(entry);
    return entry;
}

/* See reading.h. */
static int
take_plain(PyObject *media_reader, const uint8_t *message, Py_ssize_t size, PyObject *now)
{
    (void)now;
    struct media media = {0};
    PyObject *queues = SLOT(media_reader, slots.queues), *tail = SLOT(media_reader, slots.tail);
    if (!take_message(message, size, take_outer, &media) || media.seen != ALL || queues == NULL ||
        !PyTuple_CheckExact(queues) || tail == NULL || !PyBytes_CheckExact(tail) || PyBytes_GET_SIZE(tail) != TAIL_BYTES)
        return 0;
    PyObject *track = SLOT(media_reader, media.is_outbound ? slots.outbound : slots.inbound);
    if (track == NULL || !Py_IS_TYPE(track, track_type))
        return 0;
    int64_t step = number_in_slot(track, slots.step, 0), head = number_in_slot(track, slots.entry_head, -1);
    int64_t offset = number_in_slot(track, slots.offset, INT64_MIN);
    if (media.chunk != number_in_slot(track, slots.expected_chunk, -1) || step < 1 || head < 0 || head > UINT32_MAX ||
        media.chunk > INT32_MAX || media.sequence_number > INT32_MAX || offset < -media.chunk ||
        offset > INT32_MAX - media.chunk)
        return 0;
    PyObject *entry = make_entry(&media, (uint32_t)head, media.chunk + offset, tail);
    if (entry == NULL)
        return PyErr_Occurred() ? -1 : 0;
    int result = set_slot(track, slots.expected_chunk, PyLong_FromLongLong(media.chunk + step));
    for (Py_ssize_t i = 0; result == 0 && i < PyTuple_GET_SIZE(queues); i++)
        result = PyList_Append(PyTuple_GET_ITEM(queues, i), entry);
    Py_DECREF(entry);
    return result == 0 ? 1 : -1;
}

static void
prefetch_expected_chunk(PyObject *track)
{
    if (track != NULL && Py_IS_TYPE(track, track_type))
        prefetch_object(SLOT(track, slots.expected_chunk));
}

static void
prefetch_reader(PyObject *media_reader, int step)
{
    if (step == 0) {
        prefetch_object(SLOT(media_reader, slots.inbound));
        prefetch_object(SLOT(media_reader, slots.outbound));
        prefetch_object(SLOT(media_reader, slots.tail));
    } else {
        prefetch_expected_chunk(SLOT(media_reader, slots.inbound));
        prefetch_expected_chunk(SLOT(media_reader, slots.outbound));
    }
}

PyDoc_STRVAR(bind_doc, "bind(peer: type, media_reader: type, track: type, on_text: function) -> None\n\n"
                       "Set the classes whose objects are read, and the method whose messages are read.");

static PyObject *
bind_classes(PyObject *module, PyObject *args)
{
    (void)module;
    PyTypeObject *peer, *media_reader, *track;
    PyObject *method;
    if (!PyArg_ParseTuple(args, "O!O!O!O", &PyType_Type, &peer, &PyType_Type, &media_reader, &PyType_Type, &track, &method))
        return NULL;
    const struct wanted_slot wanted[] = {
        {media_reader, "inbound", &slots.inbound},
        {media_reader, "outbound", &slots.outbound},
        {media_reader, "queues", &slots.queues},
        {media_reader, "tail", &slots.tail},
        {track, "expected_chunk", &slots.expected_chunk},
        {track, "step", &slots.step},
        {track, "entry_head", &slots.entry_head},
        {track, "offset", &slots.offset},
    };
    if (find_slots(wanted, sizeof wanted / sizeof *wanted) < 0 || bind_reading(peer, media_reader, method) < 0)
        return NULL;
    Py_XSETREF(track_type, (PyTypeObject *)Py_NewRef(track));
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    READING_METHODS,
    {"bind", bind_classes, METH_VARARGS, bind_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "ingest_media", .m_doc = "Reads Telnyx's media.", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC
PyInit_ingest_media(void)
{
    fill_sextets();
    return make_module(&definition);
}
