/* Turns plain talk messages of browsers into pieces of talk, as `Talker.on_text` does (native.h).
 *
 * A message is plain when its audio (bare, or an RTP packet, as before) is in the call's codec, for the call that this
 * talker has talked to before, and within the rate limit.
 */
#include "messages.h"
#include "reading.h"

/* Offset in a piece of talk on the bus, and the size of its head: patchbay/protocol/batches.py. */
enum { LENGTH_AT = 4, HEAD_BYTES = 32 };

/* RTP: patchbay/protocol/rtp.py. */
enum { RTP_HEADER_BYTES = 12, RTP_SSRC_AT = 8, RTP_SSRC_BYTES = 4, RTP_MARKER = 0x80, PCMU = 0, PCMA = 8 };
enum { RTP_VERSION_BITS = 0xc0, RTP_VERSION_2 = 0x80 };

/* Set by `bind`. */
static PyTypeObject *rate_limit_type, *talk_sender_type, *call_type, *depacketizer_type;
static struct {
    Py_ssize_t talking_to, head, candidates, rate_limit, talk_sender, rtp; /* of a Talker */
    Py_ssize_t ssrc, bare_bytes, held, last;                   /* of a Depacketizer */
    Py_ssize_t left, at, per_s, burst;                         /* of a RateLimit */
    Py_ssize_t pieces;                                         /* of TalkSender */
    Py_ssize_t talk_codec;                                     /* of a Call */
} slots;

/* The fields of a message. Each key must be there once. */
enum { EVENT = 1, MEDIA = 2, PAYLOAD = 4, ALL = 7 };
struct talk {
    unsigned seen;
    struct text payload;
};

static bool
take_inner(struct cursor *c, struct text key, void *into)
{
    struct talk *talk = into;
    return equals(key, "payload") ? take_base64(c, &talk->payload) && set_seen(&talk->seen, PAYLOAD) : skip_value(c);
}

static bool
take_outer(struct cursor *c, struct text key, void *into)
{
    struct talk *talk = into;
    struct text text;
    if (equals(key, "media"))
        return take_object(c, take_inner, talk) && set_seen(&talk->seen, MEDIA);
    if (equals(key, "event"))
        return take_text(c, &text) && equals(text, "media") && set_seen(&talk->seen, EVENT);
    return skip_value(c);
}

static bool
is_empty(PyObject *bytes)
{
    return bytes != NULL && PyBytes_CheckExact(bytes) && PyBytes_GET_SIZE(bytes) == 0;
}

/* Return the audio of a payload, as `Depacketizer.take` and `rtp.unpack` do, if no state changes and no transcoding is
 * needed: a packet of the known source, or bare audio as long as the piece before. Otherwise `at` is NULL. */
static struct text
strip(PyObject *rtp, struct text message, int wanted)
{
    static const struct text not_plain = {NULL, 0};
    if (rtp == NULL || !Py_IS_TYPE(rtp, depacketizer_type) || !is_empty(SLOT(rtp, slots.held)) ||
        !is_empty(SLOT(rtp, slots.last)))
        return not_plain;
    if ((message.at[0] & RTP_VERSION_BITS) != RTP_VERSION_2)
        return number_in_slot(rtp, slots.bare_bytes, 0) == message.size ? message : not_plain;
    PyObject *ssrc = SLOT(rtp, slots.ssrc);
    if (message.size <= RTP_HEADER_BYTES || message.at[0] != RTP_VERSION_2 || (message.at[1] & ~RTP_MARKER) != wanted ||
        ssrc == NULL || !PyBytes_CheckExact(ssrc) || PyBytes_GET_SIZE(ssrc) != RTP_SSRC_BYTES ||
        memcmp(PyBytes_AS_STRING(ssrc), message.at + RTP_SSRC_AT, RTP_SSRC_BYTES) != 0)
        return not_plain;
    return (struct text){message.at + RTP_HEADER_BYTES, message.size - RTP_HEADER_BYTES};
}

/* Return the call to talk to, borrowed, if it is the same as before (`Talker._target`); else NULL. */
static PyObject *
target_of(PyObject *talker)
{
    PyObject *call = SLOT(talker, slots.talking_to), *candidates = SLOT(talker, slots.candidates);
    if (call == NULL || !Py_IS_TYPE(call, call_type) || candidates == NULL || PyObject_Length(candidates) != 1 ||
        PySequence_Contains(candidates, call) != 1) {
        PyErr_Clear();
        return NULL;
    }
    return call;
}

/* Return the RTP payload type of a call's talk codec; -1: unknown. */
static int
codec_of(PyObject *call)
{
    PyObject *codec = SLOT(call, slots.talk_codec);
    if (codec == NULL || !PyUnicode_CheckExact(codec))
        return -1;
    if (PyUnicode_CompareWithASCIIString(codec, "PCMU") == 0)
        return PCMU;
    return PyUnicode_CompareWithASCIIString(codec, "PCMA") == 0 ? PCMA : -1;
}

static bool
read_seconds(PyObject *object, Py_ssize_t offset, double *value)
{
    PyObject *given = SLOT(object, offset);
    *value = given == NULL ? -1.0 : PyFloat_CheckExact(given) ? PyFloat_AS_DOUBLE(given) : PyFloat_AsDouble(given);
    if (!PyErr_Occurred())
        return given != NULL;
    PyErr_Clear();
    return false;
}

/* Spend of a rate limit, as `RateLimit.spend` does. Return 1 when enough was left, 0 when it is left to the Python, -1
 * with an exception. */
static int
spend(PyObject *rate_limit, Py_ssize_t amount, PyObject *now)
{
    double left, at, per_s, burst;
    if (rate_limit == NULL || !Py_IS_TYPE(rate_limit, rate_limit_type) || !PyFloat_CheckExact(now) ||
        !read_seconds(rate_limit, slots.left, &left) || !read_seconds(rate_limit, slots.at, &at) ||
        !read_seconds(rate_limit, slots.per_s, &per_s) || !read_seconds(rate_limit, slots.burst, &burst))
        return 0;
    left += (PyFloat_AS_DOUBLE(now) - at) * per_s;
    if (left > burst)
        left = burst;
    if (!(left >= (double)amount))
        return 0;
    if (set_slot(rate_limit, slots.left, PyFloat_FromDouble(left - (double)amount)) < 0)
        return -1;
    return set_slot(rate_limit, slots.at, Py_NewRef(now)) < 0 ? -1 : 1;
}

/* Append a piece of talk, as `TalkSender.send` of `pack_talk` does. */
static int
append_talk(PyObject *pieces, PyObject *call, PyObject *talker, struct text audio)
{
    PyObject *packed = PyBytes_FromStringAndSize(NULL, HEAD_BYTES + audio.size);
    if (packed == NULL)
        return -1;
    char *at = PyBytes_AS_STRING(packed);
    uint32_t length = (uint32_t)audio.size;
    memcpy(at, PyBytes_AS_STRING(SLOT(talker, slots.head)), HEAD_BYTES);
    memcpy(at + LENGTH_AT, &length, sizeof length);
    memcpy(at + HEAD_BYTES, audio.at, (size_t)audio.size);
    PyObject *piece = PyTuple_Pack(4, call, talker, packed, Py_None);
    Py_DECREF(packed);
    int failed = piece == NULL ? -1 : PyList_Append(pieces, piece);
    Py_XDECREF(piece);
    return failed;
}

static int
take_plain(PyObject *talker, const uint8_t *message, Py_ssize_t size, PyObject *now)
{
    static uint8_t packet[LONGEST_PLAIN];
    struct talk talk = {0};
    PyObject *head = SLOT(talker, slots.head), *talk_sender = SLOT(talker, slots.talk_sender), *call = target_of(talker);
    if (call == NULL || head == NULL || !PyBytes_CheckExact(head) || PyBytes_GET_SIZE(head) != HEAD_BYTES ||
        talk_sender == NULL || !Py_IS_TYPE(talk_sender, talk_sender_type) || !take_message(message, size, take_outer, &talk) ||
        talk.seen != ALL || !decoded_size(talk.payload) || !decode(talk.payload, packet))
        return 0;
    PyObject *pieces = SLOT(talk_sender, slots.pieces);
    struct text audio = strip(SLOT(talker, slots.rtp), (struct text){packet, decoded_size(talk.payload)}, codec_of(call));
    if (audio.at == NULL || pieces == NULL || !PyList_CheckExact(pieces))
        return 0;
    int enough = spend(SLOT(talker, slots.rate_limit), audio.size, now);
    return enough <= 0 ? enough : append_talk(pieces, call, talker, audio) < 0 ? -1 : 1;
}

static void
prefetch_reader(PyObject *talker, int step)
{
    PyObject *rate_limit = SLOT(talker, slots.rate_limit);
    if (step == 0) {
        prefetch_object(rate_limit);
        prefetch_object(SLOT(talker, slots.candidates));
        prefetch_object(SLOT(talker, slots.talking_to));
        prefetch_object(SLOT(talker, slots.head));
        prefetch_object(SLOT(talker, slots.rtp));
    } else if (rate_limit != NULL && Py_IS_TYPE(rate_limit, rate_limit_type)) {
        prefetch_object(SLOT(rate_limit, slots.left));
    }
}

PyDoc_STRVAR(bind_doc, "bind(peer: type, talker: type, on_text: function, rate_limit: type, talk_sender: type, call: type,\n"
                       "     depacketizer: type) -> None\n\n"
                       "Set the classes that `serve` works on, and the method whose messages it handles.");

static PyObject *
bind_classes(PyObject *module, PyObject *args)
{
    (void)module;
    PyTypeObject *peer, *talker, *rate_limit, *talk_sender, *call, *depacketizer;
    PyObject *method;
    if (!PyArg_ParseTuple(args, "O!O!OO!O!O!O!", &PyType_Type, &peer, &PyType_Type, &talker, &method, &PyType_Type,
                          &rate_limit, &PyType_Type, &talk_sender, &PyType_Type, &call, &PyType_Type, &depacketizer))
        return NULL;
    const struct wanted_slot wanted[] = {
        {talker, "_talking_to", &slots.talking_to},
        {talker, "_head", &slots.head},
        {call, "talk_codec", &slots.talk_codec},
        {talker, "_candidates", &slots.candidates},
        {talker, "_rate_limit", &slots.rate_limit},
        {talker, "_talk_sender", &slots.talk_sender},
        {talker, "_rtp", &slots.rtp},
        {depacketizer, "ssrc", &slots.ssrc},
        {depacketizer, "bare_bytes", &slots.bare_bytes},
        {depacketizer, "held", &slots.held},
        {depacketizer, "_last", &slots.last},
        {rate_limit, "_left", &slots.left},
        {rate_limit, "_at", &slots.at},
        {rate_limit, "_per_s", &slots.per_s},
        {rate_limit, "_burst", &slots.burst},
        {talk_sender, "_pieces", &slots.pieces},
    };
    if (find_slots(wanted, sizeof wanted / sizeof *wanted) < 0 || bind_reading(peer, talker, method) < 0)
        return NULL;
    fill_sextets();
    Py_XSETREF(rate_limit_type, (PyTypeObject *)Py_NewRef(rate_limit));
    Py_XSETREF(call_type, (PyTypeObject *)Py_NewRef(call));
    Py_XSETREF(depacketizer_type, (PyTypeObject *)Py_NewRef(depacketizer));
    Py_XSETREF(talk_sender_type, (PyTypeObject *)Py_NewRef(talk_sender));
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    READING_METHODS,
    {"bind", bind_classes, METH_VARARGS, bind_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "fanout_talk", .m_doc = "Reads talk of browsers.", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC
PyInit_fanout_talk(void)
{
    return make_module(&definition);
}
