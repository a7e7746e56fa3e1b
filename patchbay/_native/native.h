/* Gives the routines in C access to Python's objects.
 *
 * The Python specifies the program. Each routine does exactly what its Python does, faster, for the one most frequent
 * case, which is called *plain*. A routine has no state: it reads and sets the `__slots__` of the objects that the
 * Python uses. Any other case it leaves to the Python, before it has changed anything. A slot has a fixed offset in its
 * object, which its descriptor has.
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
#error "the bus is little-endian"
#endif

/* The digest of the sources, defined by `setup.py` and compared by `loader.py`. */
#ifndef PATCHBAY_SOURCE
#define PATCHBAY_SOURCE ""
#endif

/* Make a module of routines, with the digest of its sources. */
static inline PyObject *
make_module(struct PyModuleDef *definition)
{
    PyObject *module = PyModule_Create(definition);
    if (module != NULL && PyModule_AddStringConstant(module, "SOURCE", PATCHBAY_SOURCE) < 0)
        Py_CLEAR(module);
    return module;
}

#define SLOT(object, offset) (*(PyObject **)((char *)(object) + (offset)))

/* Return the offset of a slot in the objects of a type; -1, with an exception, when the type has no such slot. */
static inline Py_ssize_t
slot_offset(PyTypeObject *type, const char *name)
{
    PyObject *descriptor = PyObject_GetAttrString((PyObject *)type, name);
    if (descriptor == NULL)
        return -1;
    Py_ssize_t offset = -1;
    if (Py_IS_TYPE(descriptor, &PyMemberDescr_Type) &&
        ((PyMemberDescrObject *)descriptor)->d_member->type == T_OBJECT_EX)
        offset = ((PyMemberDescrObject *)descriptor)->d_member->offset;
    else
        PyErr_Format(PyExc_TypeError, "%s.%s is no slot", type->tp_name, name);
    Py_DECREF(descriptor);
    return offset;
}

struct wanted_slot {
    PyTypeObject *type;
    const char *name;
    Py_ssize_t *offset;
};

/* Find the offsets of several slots. Return -1, with an exception, when one is missing. */
static inline int
find_slots(const struct wanted_slot *wanted, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if ((*wanted[i].offset = slot_offset(wanted[i].type, wanted[i].name)) < 0)
            return -1;
    return 0;
}

/* Set a slot. Steals the reference to the value. Return -1 when the value is NULL, since making it has failed. */
static inline int
set_slot(PyObject *object, Py_ssize_t offset, PyObject *value)
{
    if (value == NULL)
        return -1;
    PyObject *before = SLOT(object, offset);
    SLOT(object, offset) = value;
    Py_XDECREF(before);
    return 0;
}

/* Return the integer in a slot; `otherwise` when there is none of 64 bits. Sets no exception. */
static inline int64_t
number_in_slot(PyObject *object, Py_ssize_t offset, int64_t otherwise)
{
    PyObject *value = SLOT(object, offset);
    if (value == NULL || !PyLong_CheckExact(value))
        return otherwise;
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    return overflow ? otherwise : number;
}

/* Prefetch an object from memory: its header and up to a dozen slots. */
static inline void
prefetch_object(const PyObject *object)
{
    __builtin_prefetch(object);
    __builtin_prefetch((const char *)object + 64);
}

/* Send without waiting. Return how many bytes were sent, or -errno. */
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
