/* A bare relay of Telnyx media streams to browsers: what the system calls of a frame cost when nothing else is done.
 *
 *   gcc -O2 -o floor floor.c && ./floor PORT
 *
 * One thread, one epoll, a recv for each readable socket and a send for each listener. No server to use: it believes
 * whatever it gets, computes no handshake, has no queues, and closes whoever does not keep up.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

typedef uint8_t u8;

#define MAX_FDS 65536
#define BUFFER 65536
#define HEAD_MAX 4096
#define ID_MAX 128
#define PART_MAX 2048

typedef struct Call {
  char id[ID_MAX];
  int telnyx, *listeners[2], count[2];
  struct Call *next;
} Call;

typedef struct {
  enum { NONE, HEAD, TELNYX, BROWSER } kind;
  Call *call;
  int length; /* of what is left of the last reading */
  u8 part[HEAD_MAX];
} Conn;

static Conn *conns[MAX_FDS];
static Call *calls[4096];

static Call *call_of(const char *id, size_t length) {
  unsigned hash = 5381;
  for (size_t i = 0; i < length; i++)
    hash = hash * 33 + (u8)id[i];
  Call **at = &calls[hash % 4096];
  for (; *at; at = &(*at)->next)
    if (strlen((*at)->id) == length && !memcmp((*at)->id, id, length))
      return *at;
  *at = calloc(1, sizeof **at);
  snprintf((*at)->id, ID_MAX, "%.*s", (int)length, id);
  return *at;
}

static void drop(int fd) {
  Conn *c = conns[fd];
  for (int track = 0; c->kind == BROWSER && track < 2; track++)
    for (int i = 0; i < c->call->count[track]; i++)
      if (c->call->listeners[track][i] == fd)
        c->call->listeners[track][i] = c->call->listeners[track][--c->call->count[track]];
  if (c->kind == TELNYX && c->call && c->call->telnyx == fd)
    c->call->telnyx = 0;
  c->kind = NONE;
  close(fd);
}

static int from_base64(const u8 *text, int length, u8 *out) {
  static u8 value[256];
  if (!value['B'])
    for (int i = 0; i < 64; i++)
      value[(u8) "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[i]] = i;
  int n = 0;
  for (int i = 0; i + 3 < length; i += 4) {
    unsigned v = value[text[i]] << 18 | value[text[i + 1]] << 12 | value[text[i + 2]] << 6 | value[text[i + 3]];
    out[n++] = v >> 16, out[n++] = v >> 8, out[n++] = v;
  }
  return n - (length && text[length - 1] == '=') - (length > 1 && text[length - 2] == '=');
}

static int to_base64(const u8 *data, int length, char *out) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  int n = 0;
  for (int i = 0; i < length; i += 3) {
    unsigned v = data[i] << 16 | (i + 1 < length ? data[i + 1] << 8 : 0) | (i + 2 < length ? data[i + 2] : 0);
    for (int k = 0; k < 4; k++)
      out[n++] = i + k > length ? '=' : digits[v >> (18 - 6 * k) & 63];
  }
  return n;
}

static void put(int fd, int opcode, const void *payload, int length) {
  u8 frame[PART_MAX + 4] = {0x80 | opcode, length < 126 ? length : 126, length >> 8, length};
  int header = length < 126 ? 2 : 4;
  memcpy(frame + header, payload, length);
  if (send(fd, frame, header + length, MSG_NOSIGNAL) != header + length)
    shutdown(fd, SHUT_RDWR);
}

static const char *value_of(const u8 *text, int n, const char *key, int *length) {
  const char *at = memmem(text, n, key, strlen(key));
  if (!at)
    return NULL;
  at += strlen(key);
  const char *end = memchr(at, '"', (const char *)text + n - at);
  if (!end)
    return NULL;
  *length = end - at;
  return at;
}

static void from_telnyx(int fd, const u8 *text, int n) {
  Conn *c = conns[fd];
  u8 audio[PART_MAX];
  int length;
  const char *value;
  if (memmem(text, n, "\"event\":\"media\"", 15)) {
    if (!c->call || !(value = value_of(text, n, "\"payload\":\"", &length)) || length > PART_MAX)
      return;
    int size = from_base64((const u8 *)value, length, audio);
    int track = memmem(text, n, "\"outbound\"", 10) != NULL;
    for (int i = 0; i < c->call->count[track]; i++)
      put(c->call->listeners[track][i], 2, audio, size);
  } else if ((value = value_of(text, n, "\"call_control_id\":\"", &length))) {
    c->call = call_of(value, length);
    c->call->telnyx = fd;
  }
}

static void from_browser(int fd, const u8 *text, int n) {
  Call *call = conns[fd]->call;
  u8 audio[PART_MAX];
  char message[PART_MAX];
  int length;
  const char *value = value_of(text, n, "\"payload\":\"", &length);
  if (!value || length > 1000 || !call->telnyx)
    return;
  int size = from_base64((const u8 *)value, length, audio) - 12;
  int k = sprintf(message, "{\"event\":\"media\",\"media\":{\"payload\":\"");
  k += to_base64(audio + 12, size, message + k);
  k += sprintf(message + k, "\"}}");
  put(call->telnyx, 1, message, k);
}

static void open_socket(int fd, char *head) {
  static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                               "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
  Conn *c = conns[fd];
  char *query = strstr(head, "call_control_id=");
  send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
  c->length = 0;
  if (strcasestr(head, "telnyx") || !query) {
    c->kind = TELNYX;
    return;
  }
  query += 16;
  char id[ID_MAX];
  int n = 0;
  for (; *query && !strchr("& ", *query) && n < ID_MAX - 1; query++) {
    unsigned code = (u8)*query;
    if (code == '%' && sscanf(query + 1, "%2x", &code) == 1)
      query += 2;
    id[n++] = code;
  }
  c->kind = BROWSER;
  c->call = call_of(id, n);
  for (int track = 0; track < 2; track++) {
    if (!strstr(head, track ? "track=outbound" : "track=inbound") && !strstr(head, "track=both"))
      continue;
    int **list = &c->call->listeners[track], *count = &c->call->count[track];
    *list = realloc(*list, (*count + 1) * sizeof(int));
    (*list)[(*count)++] = fd;
  }
}

/* Handles whole frames; returns how many bytes they were, or -1 for what this program does not know. */
static int frames(int fd, u8 *data, int size) {
  int at = 0;
  while (size - at >= 6) {
    int length = data[at + 1] & 127, payload = at + 6;
    if (length == 127 || !(data[at + 1] & 128))
      return -1;
    if (length == 126)
      length = data[at + 2] << 8 | data[at + 3], payload += 2;
    if (payload + length > size)
      break;
    for (int i = 0; i < length; i++)
      data[payload + i] ^= data[payload - 4 + (i & 3)];
    if ((data[at] & 15) == 8)
      return -1;
    if ((data[at] & 15) == 1)
      (conns[fd]->kind == TELNYX ? from_telnyx : from_browser)(fd, data + payload, length);
    at = payload + length;
  }
  return at;
}

static void readable(int fd) {
  static u8 buffer[BUFFER];
  Conn *c = conns[fd];
  memcpy(buffer, c->part, c->length);
  int n = recv(fd, buffer + c->length, BUFFER - HEAD_MAX - 1, 0), size = c->length + n;
  if (n <= 0) {
    drop(fd);
    return;
  }
  if (c->kind == HEAD) {
    buffer[size] = 0;
    if (size < HEAD_MAX && strstr((char *)buffer, "\r\n\r\n")) {
      open_socket(fd, (char *)buffer);
      return;
    }
  }
  int used = c->kind == HEAD ? 0 : frames(fd, buffer, size);
  if (used < 0 || size - used >= HEAD_MAX) {
    drop(fd);
    return;
  }
  c->length = size - used;
  memcpy(c->part, buffer + used, c->length);
}

int main(int argc, char **argv) {
  int on = 1, listening = socket(AF_INET, SOCK_STREAM, 0), poll = epoll_create1(0);
  struct sockaddr_in address = {AF_INET, htons(argc > 1 ? atoi(argv[1]) : 5006), {htonl(INADDR_LOOPBACK)}, {0}};
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listening, (struct sockaddr *)&address, sizeof address) || listen(listening, 4096)) {
    perror("floor");
    return 1;
  }
  struct epoll_event event = {EPOLLIN, {.fd = listening}}, events[256];
  epoll_ctl(poll, EPOLL_CTL_ADD, listening, &event);
  for (;;) {
    int n = epoll_wait(poll, events, 256, -1);
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      if (fd != listening) {
        if (conns[fd]->kind != NONE)
          readable(fd);
        continue;
      }
      fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK);
      if (fd < 0 || fd >= MAX_FDS)
        continue;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      conns[fd] = conns[fd] ? conns[fd] : malloc(sizeof *conns[fd]);
      conns[fd]->kind = HEAD;
      conns[fd]->call = NULL;
      conns[fd]->length = 0;
      event.events = EPOLLIN, event.data.fd = fd;
      epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
    }
  }
}
