/* Delivers plain entries of the bus to listeners, as `Calls.receive` and `Track.deliver` do (native.h).
 *
 * An entry is plain when it is audio behind the last frame of a track that this process knows. A group of listeners
 * that get µ-law unchanged, and all keep up, is written to here; each other group writes by itself (`EncodedGroup.deliver`). At
 * any other entry the routine stops, and the Python goes on from there.
 */
#include "native.h"

/* Offsets in an entry of the bus, and its size: patchbay/protocol/batches.py. */
enum { KIND = 0, TRACK = 1, POSITION = 4, LENGTH = 16, STREAM = 28, ENTRY_BYTES = 52 };
enum { AUDIO = 1, TRACKS = 2 };
enum { TOGETHER = 16 }; /* entries that are prefetched together */
static const uint32_t NO_NUMBER = 0xFFFFFFFF;

/* A binary message of 20 ms of audio: RFC 6455 §5.2, not masked, with a length of 16 bits. */
enum { PAYLOAD_BYTES = 160, HEADER_BYTES = 4, FRAME_BYTES = HEADER_BYTES + PAYLOAD_BYTES };
static const uint8_t HEADER[HEADER_BYTES] = {0x82, 126, 0, PAYLOAD_BYTES};

/* Set by `bind`. */
static PyTypeObject *track_type, *group_type;
static PyObject *pass_through; /* `UlawEncoder.encode_at` */
static PyObject *deque_append;
static struct {
    Py_ssize_t last_position, groups, locations;      /* of a Track */
    Py_ssize_t encode_at, writers, fds, others;    /* of an EncodedGroup */
} slots;

/* An entry of audio, and its track. The reference is borrowed, and valid until Python code has run. */
struct plain {
    PyObject *track;
    Py_ssize_t at, length;
    uint32_t position;
};

static bool ran_python; /* borrowed references may be invalid */

/* Return the track of an entry, borrowed and of any type; NULL when there is none, perhaps with an exception. */
static PyObject *
find_track(PyObject *tracks, const uint8_t *entry)
{
    if (entry[TRACK] >= TRACKS)
        return NULL;
    PyObject *stream = PyLong_FromUnsignedLongLong(read_u64(entry + STREAM));
    if (stream == NULL)
        return NULL;
    PyObject *track = PyDict_GetItemWithError(PyTuple_GET_ITEM(tracks, entry[TRACK]), stream);
    Py_DECREF(stream);
    return track;
}

/* Return the descriptors that µ-law of a group goes to unchanged; NULL when the group must write by itself. */
static PyObject *
plain_targets(PyObject *group)
{
    PyObject *writers = SLOT(group, slots.writers), *fds = SLOT(group, slots.fds), *others = SLOT(group, slots.others);
    bool plain = SLOT(group, slots.encode_at) == pass_through && writers != NULL && PyTuple_CheckExact(writers) &&
                 PyTuple_GET_SIZE(writers) == 0 && fds != NULL && PyBytes_CheckExact(fds) &&
                 others != NULL && PyTuple_CheckExact(others) && PyTuple_GET_SIZE(others) > 0 &&
                 PyBytes_GET_SIZE(fds) == PyTuple_GET_SIZE(others) * (Py_ssize_t)sizeof(int);
    return plain ? fds : NULL;
}

/* Write a frame to each send queue, and return their number. A queue handles an incomplete send
 * (`SendQueue.on_send_result`). */
static Py_ssize_t
write_to_all(PyObject *send_queues, PyObject *fds, const uint8_t *payload)
{
    uint8_t frame[FRAME_BYTES];
    memcpy(frame, HEADER, HEADER_BYTES);
    memcpy(frame + HEADER_BYTES, payload, PAYLOAD_BYTES);
    Py_ssize_t count = PyTuple_GET_SIZE(send_queues);
    for (Py_ssize_t i = 0; i < count; i++) {
        int fd;
        memcpy(&fd, PyBytes_AS_STRING(fds) + i * (Py_ssize_t)sizeof fd, sizeof fd);
        ssize_t sent = send_now(fd, frame, FRAME_BYTES);
        if (sent == FRAME_BYTES)
            continue;
        ran_python = true;
        PyObject *handled = PyObject_CallMethod(PyTuple_GET_ITEM(send_queues, i), "on_send_result", "y#n",
                                                (const char *)frame, (Py_ssize_t)FRAME_BYTES, (Py_ssize_t)sent);
        if (handled == NULL)
            return -1;
        Py_DECREF(handled);
    }
    return count;
}

static Py_ssize_t
deliver_to_group(PyObject *group, PyObject *batch, Py_ssize_t at, Py_ssize_t length, PyObject *now)
{
    if (length == PAYLOAD_BYTES && Py_IS_TYPE(group, group_type)) {
        PyObject *fds = plain_targets(group);
        if (fds != NULL) {
            PyObject *others = Py_NewRef(SLOT(group, slots.others)); /* changed when a listener falls behind */
            Py_INCREF(fds);
            const uint8_t *payload = (const uint8_t *)PyBytes_AS_STRING(batch) + at + ENTRY_BYTES;
            Py_ssize_t delivered = write_to_all(others, fds, payload);
            Py_DECREF(fds);
            Py_DECREF(others);
            return delivered;
        }
    }
    ran_python = true;
    PyObject *delivered = PyObject_CallMethod(group, "deliver", "OnnO", batch, at, at + ENTRY_BYTES + length, now);
    if (delivered == NULL)
        return -1;
    Py_ssize_t count = PyLong_AsSsize_t(delivered);
    Py_DECREF(delivered);
    return count;
}

/* Deliver a frame that is behind the last one, as `Track.deliver` does. */
static Py_ssize_t
deliver_to_track(const struct plain *plain, PyObject *batch, long long location, PyObject *now)
{
    PyObject *groups = SLOT(plain->track, slots.groups), *number = PyLong_FromLongLong(location + plain->at);
    if (number == NULL || set_slot(plain->track, slots.last_position, PyLong_FromUnsignedLong(plain->position)) < 0)
        return -1;
    PyObject *arguments[] = {SLOT(plain->track, slots.locations), number};
    PyObject *appended = PyObject_Vectorcall(deque_append, arguments, 2, NULL);
    Py_DECREF(number);
    if (appended == NULL)
        return -1;
    Py_DECREF(appended);
    Py_INCREF(groups); /* changed when a listener leaves */
    Py_ssize_t delivered = 0, more = 0;
    for (Py_ssize_t i = 0; more >= 0 && i < PyTuple_GET_SIZE(groups); i++, delivered += more)
        more = deliver_to_group(PyTuple_GET_ITEM(groups, i), batch, plain->at, plain->length, now);
    Py_DECREF(groups);
    return more < 0 ? -1 : delivered;
}

/* Tell whether a frame is plain: behind the last one of its track. */
static bool
is_plain(const struct plain *plain)
{
    if (!Py_IS_TYPE(plain->track, track_type))
        return false;
    PyObject *groups = SLOT(plain->track, slots.groups);
    return groups != NULL && PyTuple_CheckExact(groups) && SLOT(plain->track, slots.locations) != NULL &&
           plain->position < NO_NUMBER &&
           number_in_slot(plain->track, slots.last_position, NO_NUMBER) < (int64_t)plain->position;
}

/* Collect the entries from `at` on that may be plain, up to TOGETHER. Return their number; -1 with an exception. */
static Py_ssize_t
gather(struct plain *plain, const uint8_t *data, Py_ssize_t at, Py_ssize_t size, PyObject *tracks)
{
    Py_ssize_t count = 0;
    while (count < TOGETHER && at >= 0 && size - at >= ENTRY_BYTES) {
        const uint8_t *entry = data + at;
        Py_ssize_t length = read_u32(entry + LENGTH);
        if (entry[KIND] != AUDIO || length > size - at - ENTRY_BYTES)
            break;
        PyObject *track = find_track(tracks, entry);
        if (track == NULL)
            return PyErr_Occurred() ? -1 : count;
        prefetch_object(track);
        plain[count++] = (struct plain){track, at, length, read_u32(entry + POSITION)};
        at += ENTRY_BYTES + length;
    }
    return count;
}

/* Prefetch all objects that the entries need; see `fetch` in reading.h. */
static void
fetch(const struct plain *plain, Py_ssize_t count)
{
    PyObject *groups[TOGETHER];
    for (Py_ssize_t i = 0; i < count; i++)
        if (Py_IS_TYPE(plain[i].track, track_type)) {
            prefetch_object(SLOT(plain[i].track, slots.groups));
            prefetch_object(SLOT(plain[i].track, slots.last_position));
            prefetch_object(SLOT(plain[i].track, slots.locations));
        }
    for (Py_ssize_t i = 0; i < count; i++) {
        groups[i] = NULL;
        if (is_plain(&plain[i]) && PyTuple_GET_SIZE(SLOT(plain[i].track, slots.groups)) > 0)
            groups[i] = PyTuple_GET_ITEM(SLOT(plain[i].track, slots.groups), 0);
        prefetch_object(groups[i]);
    }
    for (Py_ssize_t i = 0; i < count; i++)
        if (groups[i] != NULL && Py_IS_TYPE(groups[i], group_type)) {
            prefetch_object(SLOT(groups[i], slots.fds));
            prefetch_object(SLOT(groups[i], slots.others));
        }
}

PyDoc_STRVAR(deliver_doc,
             "deliver(batch: bytes, at: int, location: int, tracks: tuple[dict, dict], now: float) -> tuple[int, int]\n\n"
             "Deliver entries as long as they are plain. Return where the first other entry begins, and how many frames\n"
             "were delivered to listeners.");

static PyObject *
deliver(PyObject *module, PyObject *const *args, Py_ssize_t arguments)
{
    (void)module;
    if (arguments != 5 || !PyBytes_CheckExact(args[0]) || !PyTuple_CheckExact(args[3]) ||
        PyTuple_GET_SIZE(args[3]) != TRACKS || !PyDict_CheckExact(PyTuple_GET_ITEM(args[3], 0)) ||
        !PyDict_CheckExact(PyTuple_GET_ITEM(args[3], 1)) || track_type == NULL) {
        PyErr_SetString(PyExc_TypeError, "deliver(batch, at, location, tracks, now), once bound");
        return NULL;
    }
    PyObject *batch = args[0];
    const uint8_t *data = (const uint8_t *)PyBytes_AS_STRING(batch);
    Py_ssize_t size = PyBytes_GET_SIZE(batch), at = PyLong_AsSsize_t(args[1]), delivered = 0;
    long long location = PyLong_AsLongLong(args[2]);
    if (PyErr_Occurred())
        return NULL;
    struct plain plain[TOGETHER];
    Py_ssize_t count, done;
    do {
        if ((count = gather(plain, data, at, size, args[3])) < 0)
            return NULL;
        fetch(plain, count);
        ran_python = false;
        for (done = 0; done < count && !ran_python && is_plain(&plain[done]); done++) {
            Py_ssize_t more = deliver_to_track(&plain[done], batch, location, args[4]);
            if (more < 0)
                return NULL;
            delivered += more;
            at = plain[done].at + ENTRY_BYTES + plain[done].length;
        }
    } while (done > 0);
    return Py_BuildValue("nn", at, delivered);
}

PyDoc_STRVAR(bind_doc, "bind(track: type, group: type, encode_at: function) -> None\n\n"
                       "Set the classes that `deliver` works on, and the encoder that leaves a frame unchanged.");

static PyObject *
bind_classes(PyObject *module, PyObject *args)
{
    (void)module;
    PyTypeObject *track, *group;
    PyObject *encode_at;
    if (!PyArg_ParseTuple(args, "O!O!O", &PyType_Type, &track, &PyType_Type, &group, &encode_at))
        return NULL;
    const struct wanted_slot wanted[] = {
        {track, "last_position", &slots.last_position},
        {track, "groups", &slots.groups},
        {track, "locations", &slots.locations},
        {group, "encode_at", &slots.encode_at},
        {group, "writers", &slots.writers},
        {group, "fds", &slots.fds},
        {group, "others", &slots.others},
    };
    if (find_slots(wanted, sizeof wanted / sizeof *wanted) < 0)
        return NULL;
    Py_XSETREF(pass_through, Py_NewRef(encode_at));
    Py_XSETREF(group_type, (PyTypeObject *)Py_NewRef(group));
    Py_XSETREF(track_type, (PyTypeObject *)Py_NewRef(track));
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"deliver", (PyCFunction)(void (*)(void))deliver, METH_FASTCALL, deliver_doc},
    {"bind", bind_classes, METH_VARARGS, bind_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "fanout_media", .m_doc = "Delivers audio to listeners.", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC
PyInit_fanout_media(void)
{
    PyObject *collections = PyImport_ImportModule("collections");
    PyObject *deque = collections ? PyObject_GetAttrString(collections, "deque") : NULL;
    deque_append = deque ? PyObject_GetAttrString(deque, "append") : NULL;
    Py_XDECREF(deque);
    Py_XDECREF(collections);
    return deque_append ? make_module(&definition) : NULL;
}
