/* What the routines in C share: how they reach into Python's objects.
 *
 * The Python is the program; each routine is a shorter way through it, for the one case that is nearly all there is. It keeps
 * nothing of its own: it reads and sets the `__slots__` of the very objects that the Python uses, and leaves whatever it does
 * not know to the Python, before it has changed anything. A slot lies at a fixed place in the object, which its descriptor
 * tells, so to read it is one load.
 */
#ifndef PATCHBAY_NATIVE_H
#define PATCHBAY_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "what is packed here goes over the bus, which is little-endian"
#endif

/* What this was built from, by `setup.py`; `native.py` compares. */
#ifndef PATCHBAY_SOURCE
#define PATCHBAY_SOURCE ""
#endif

/* A module of routines, which says what it was built from. */
static inline PyObject *
make_module(struct PyModuleDef *definition)
{
    PyObject *module = PyModule_Create(definition);
    if (module != NULL && PyModule_AddStringConstant(module, "SOURCE", PATCHBAY_SOURCE) < 0)
        Py_CLEAR(module);
    return module;
}

#define SLOT(object, place) (*(PyObject **)((char *)(object) + (place)))

/* Where the slot of this name is in the objects of a type; -1, with an exception, when there is none. */
static inline Py_ssize_t
place_of_slot(PyTypeObject *type, const char *name)
{
    PyObject *descriptor = PyObject_GetAttrString((PyObject *)type, name);
    if (descriptor == NULL)
        return -1;
    Py_ssize_t place = -1;
    if (Py_IS_TYPE(descriptor, &PyMemberDescr_Type) &&
        ((PyMemberDescrObject *)descriptor)->d_member->type == T_OBJECT_EX)
        place = ((PyMemberDescrObject *)descriptor)->d_member->offset;
    else
        PyErr_Format(PyExc_TypeError, "%s.%s is no slot", type->tp_name, name);
    Py_DECREF(descriptor);
    return place;
}

struct wanted_slot {
    PyTypeObject *type;
    const char *name;
    Py_ssize_t *place;
};

/* Find all these slots. -1, with an exception, when there is one that is not there. */
static inline int
find_slots(const struct wanted_slot *wanted, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if ((*wanted[i].place = place_of_slot(wanted[i].type, wanted[i].name)) < 0)
            return -1;
    return 0;
}

/* Set a slot. Takes over the reference to the value; -1 when there is none, since its making has failed. */
static inline int
set_slot(PyObject *object, Py_ssize_t place, PyObject *value)
{
    if (value == NULL)
        return -1;
    PyObject *before = SLOT(object, place);
    SLOT(object, place) = value;
    Py_XDECREF(before);
    return 0;
}

/* A slot's number; `otherwise` when it is none, or a very great one. Never fails. */
static inline int64_t
number_in_slot(PyObject *object, Py_ssize_t place, int64_t otherwise)
{
    PyObject *value = SLOT(object, place);
    if (value == NULL || !PyLong_CheckExact(value))
        return otherwise;
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    return overflow ? otherwise : number;
}

/* Have an object come from memory: its head and all that is in slots, where these are no more than a dozen. */
static inline void
prefetch_object(const PyObject *object)
{
    __builtin_prefetch(object);
    __builtin_prefetch((const char *)object + 64);
}

/* Send without waiting: how many bytes were taken, or -errno. */
static inline ssize_t
send_now(int fd, const void *data, size_t size)
{
    ssize_t sent;
    do
        sent = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

static inline uint32_t
read_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint64_t
read_u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

#endif
