/* Load generator and checker for a relay of Telnyx media streams to browsers, and back.
 *
 *   gcc -O2 -o loadgen loadgen.c && ./loadgen --help
 *
 * One thread, one epoll. It plays both ends: calls (as Telnyx: masked JSON text) and their listeners (browsers: binary
 * messages), or talkers (browsers: JSON text with an RTP packet) and the Telnyx side that must get what they say.
 * Every 160-byte payload carries a magic, the call, the track, a sequence number of that track and the time at which
 * it was made; the rest is a pattern computed from those. So a payload that is corrupt, lost, doubled, out of order,
 * or that came to the wrong peer is seen. Only loopback is loaded.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef uint64_t u64;
typedef uint32_t u32;
typedef uint8_t u8;

#define PAYLOAD 160
#define RTP_HEADER 12
#define TALK 2 /* the "track" of what a talker says */
#define MS 1000000ull

static u64 now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (u64)t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void die(const char *format, ...) {
  va_list a;
  va_start(a, format);
  fprintf(stderr, "loadgen: ");
  vfprintf(stderr, format, a);
  fprintf(stderr, "\n");
  exit(2);
}

static struct {
  int port, listen_port, calls, listeners, tracks, talkers, silent, both, control, urgent, cpu, pid, tick_us;
  double fps, seconds, warmup, drain, settle;
  const char *telnyx_header, *browser_header;
} O = {.telnyx_header = "", .browser_header = "", .port = 5006, .calls = 10, .listeners = 2, .tracks = 2, .cpu = -1, .tick_us = 200,
       .fps = 50, .seconds = 5, .warmup = 1, .drain = 3, .settle = 0.7};

/* ---- histogram: 64 buckets in each power of two, so 1.6 % wide ---- */

#define HB 64
#define HN (HB * 48)
typedef struct {
  u64 n, max;
  double sum;
  u32 b[HN];
} Hist;

static void hist_add(Hist *h, u64 v) {
  int i = (int)v;
  if (v >= HB) {
    int e = 63 - __builtin_clzll(v);
    i = (e - 5) * HB + (int)((v >> (e - 6)) - HB);
  }
  h->b[i >= HN ? HN - 1 : i]++;
  h->n++;
  h->sum += v;
  if (v > h->max)
    h->max = v;
}

static double hist_ms(const Hist *h, double part) {
  u64 want = (u64)(part * h->n), seen = 0;
  for (int i = 0; i < HN; i++)
    if ((seen += h->b[i]) > want) {
      u64 v = i;
      if (i >= HB) {
        int e = i / HB + 5;
        v = ((u64)(i % HB + HB) << (e - 6)) + ((1ull << (e - 6)) >> 1);
      }
      return (v > h->max ? h->max : v) / 1e6;
    }
  return h->max / 1e6;
}

/* ---- connections ---- */

enum Kind { TELNYX, LISTENER, TALKER };

typedef struct {
  u32 last;     /* highest sequence number that came */
  u64 seen;     /* bit i: last - i came */
  u32 measured; /* frames that were made in the measured time */
  u64 at;       /* when the last one came */
} Track;

typedef struct {
  int fd, call, kind, wants; /* wants: bit for each track */
  u8 dead, armed, fresh;     /* fresh: what came before its first frame is not missing */
  u8 *in;
  u32 inl, inc; /* a part of a frame */
  u8 *out;
  u32 oo, ol, oc; /* what could not be sent yet */
  Track track[3];
  u64 gap, worst; /* longest silence and worst latency in this window */
} Conn;

typedef struct {
  u64 phase;
  Conn *conn;
  int track;
  u32 sequence, measured;
} Source;

typedef struct {
  u64 sent, received, lost, doubled, disordered, corrupt, wrong, closed_telnyx, closed_browsers, text, errors;
  Hist latency, lag;
} Counts;

static Conn *telnyx, *browsers;
static Source *sources;
static int n_browsers, n_sources, EP, commanded;
static u32 *connection_sequence;
static Counts N;
static u64 measure_from, measure_to, n_blocked, n_pings;
static u64 m_sent, m_received, max_backlog;
static u8 FILL[512];

static u64 rnd(void) {
  static u64 x = 0x9E3779B97F4A7C15ull;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return x;
}

static const u8 *fill(u32 call, int track, u32 sequence) { return FILL + ((call * 31 + track * 17 + sequence * 7) & 255); }
static void call_id(char *b, int c) { sprintf(b, "v3:T02llQxIyaRkhfRKxgAP8nY511EhFLizdvdUKJ%08x%06d", getpid(), c); }
static void stream_id(char *b, int c) { sprintf(b, "32DE0DEA-53CB-4B21-89A4-9E18%08X", c); }

static int b64_encode(const u8 *s, int n, char *o) {
  static const char T[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  int k = 0;
  for (int i = 0; i < n; i += 3) {
    u32 v = s[i] << 16 | (i + 1 < n ? s[i + 1] << 8 : 0) | (i + 2 < n ? s[i + 2] : 0);
    o[k++] = T[v >> 18];
    o[k++] = T[v >> 12 & 63];
    o[k++] = i + 1 < n ? T[v >> 6 & 63] : '=';
    o[k++] = i + 2 < n ? T[v & 63] : '=';
  }
  return k;
}

static int b64_value(u8 c) {
  return c >= 'A' && c <= 'Z'   ? c - 'A'
         : c >= 'a' && c <= 'z' ? c - 'a' + 26
         : c >= '0' && c <= '9' ? c - '0' + 52
         : c == '+'             ? 62
         : c == '/'             ? 63
                                : -1;
}

/* Decodes n characters into at most `room` bytes; returns how many, -1 when it is not base64. */
static int b64_decode(const u8 *s, int n, u8 *o, int room) {
  int k = 0, bits = 0;
  u32 v = 0;
  for (int i = 0; i < n && s[i] != '='; i++) {
    int x = b64_value(s[i]);
    if (x < 0)
      return -1;
    v = v << 6 | x;
    if ((bits += 6) >= 8) {
      bits -= 8;
      if (k == room)
        return -1;
      o[k++] = v >> bits;
    }
  }
  return k;
}

static int masked_frame(u8 *o, int opcode, const u8 *p, int n) {
  int k = 0;
  o[k++] = 0x80 | opcode;
  if (n < 126)
    o[k++] = 0x80 | n;
  else {
    o[k++] = 0x80 | 126;
    o[k++] = n >> 8;
    o[k++] = n;
  }
  u32 mask = (u32)rnd() | 1;
  memcpy(o + k, &mask, 4);
  k += 4;
  for (int i = 0; i < n; i++)
    o[k + i] = p[i] ^ ((u8 *)&mask)[i & 3];
  return k + n;
}

static void closed(Conn *c) {
  if (c->dead)
    return;
  c->dead = 1;
  c->oo = c->ol = 0;
  if (c->kind == TELNYX)
    N.closed_telnyx++;
  else
    N.closed_browsers++;
  epoll_ctl(EP, EPOLL_CTL_DEL, c->fd, NULL);
}

static void arm(Conn *c, int for_output) {
  if (c->armed == for_output)
    return;
  c->armed = for_output;
  struct epoll_event e = {.events = EPOLLIN | (for_output ? EPOLLOUT : 0), .data.ptr = c};
  epoll_ctl(EP, EPOLL_CTL_MOD, c->fd, &e);
}

static void flush_out(Conn *c) {
  while (c->oo < c->ol) {
    ssize_t r = send(c->fd, c->out + c->oo, c->ol - c->oo, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (r < 0 && errno == EAGAIN)
      return;
    if (r < 0) {
      closed(c);
      return;
    }
    c->oo += r;
  }
  c->oo = c->ol = 0;
  arm(c, 0);
}

static void put(Conn *c, const u8 *p, int n) {
  if (c->ol == c->oo) {
    ssize_t r = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (r == n)
      return;
    if (r < 0 && errno != EAGAIN) {
      closed(c);
      return;
    }
    n_blocked++;
    if (r > 0) {
      p += r;
      n -= r;
    }
    c->oo = c->ol = 0;
  }
  if (c->ol + n > c->oc && c->oo) {
    memmove(c->out, c->out + c->oo, c->ol - c->oo);
    c->ol -= c->oo;
    c->oo = 0;
  }
  while (c->ol + n > c->oc)
    c->out = realloc(c->out, c->oc = c->oc ? c->oc * 2 : 65536);
  memcpy(c->out + c->ol, p, n);
  c->ol += n;
  if (c->ol - c->oo > max_backlog)
    max_backlog = c->ol - c->oo;
  arm(c, 1);
}

static void put_text(Conn *c, const char *text, int n) {
  u8 f[1400];
  put(c, f, masked_frame(f, 1, (const u8 *)text, n));
}

/* ---- sending ---- */

static void mark(u8 *p, int call, int track, u32 sequence, u64 now) {
  u32 c32 = call;
  memset(p, 0, 24);
  memcpy(p, "PBM1", 4);
  memcpy(p + 4, &c32, 4);
  p[8] = track;
  memcpy(p + 12, &sequence, 4);
  memcpy(p + 16, &now, 8);
  memcpy(p + 24, fill(c32, track, sequence), PAYLOAD - 24);
}

static void send_media(Source *s, u64 now) {
  Conn *c = s->conn;
  if (c->dead)
    return;
  char j[700], sid[64];
  u8 p[RTP_HEADER + PAYLOAD];
  u32 sequence = ++s->sequence;
  int k;
  if (s->track == TALK) {
    u8 header[RTP_HEADER] = {0x80, 0, sequence >> 8, sequence, 0, 0, 0, 0, 0x12, 0x34, 0x56, c->call};
    u32 stamp = htonl(sequence * PAYLOAD);
    memcpy(header + 4, &stamp, 4);
    memcpy(p, header, RTP_HEADER);
    mark(p + RTP_HEADER, c->call, TALK, sequence, now);
    k = sprintf(j, "{\"event\":\"media\",\"media\":{\"payload\":\"");
    k += b64_encode(p, RTP_HEADER + PAYLOAD, j + k);
    k += sprintf(j + k, "\"}}");
  } else {
    mark(p, c->call, s->track, sequence, now);
    stream_id(sid, c->call);
    k = sprintf(j, "{\"event\":\"media\",\"sequence_number\":\"%u\",\"media\":{\"track\":\"%s\",\"chunk\":\"%u\","
                   "\"timestamp\":\"%u\",\"payload\":\"",
                ++connection_sequence[c->call], s->track ? "outbound" : "inbound", sequence, sequence * 20);
    k += b64_encode(p, PAYLOAD, j + k);
    k += sprintf(j + k, "\"},\"stream_id\":\"%s\"}", sid);
  }
  put_text(c, j, k);
  N.sent++;
  if (now >= measure_from && now < measure_to) {
    m_sent++;
    s->measured++;
  }
}

static void send_start(Conn *c) {
  char id[80], sid[64], j[900];
  call_id(id, c->call);
  stream_id(sid, c->call);
  static const char greeting[] = "{\"event\":\"connected\",\"version\":\"1.0.0\"}";
  put_text(c, greeting, sizeof greeting - 1);
  int k = sprintf(j,
                  "{\"event\":\"start\",\"sequence_number\":\"%u\",\"start\":{\"user_id\":\"3e6f995f-85f7-4705-9741-"
                  "53b116d28237\",\"call_control_id\":\"%s\",\"call_session_id\":\"ff55a038-6f5d-11ef-9692-02420aeffb1f\","
                  "\"from\":\"+13122010094\",\"to\":\"+13122123456\",\"tags\":[\"TAG1\"],\"client_state\":"
                  "\"aGF2ZSBhIG5pY2UgZGF5ID1d\",\"media_format\":{\"encoding\":\"PCMU\",\"sample_rate\":8000,"
                  "\"channels\":1}},\"stream_id\":\"%s\"}",
                  ++connection_sequence[c->call], id, sid);
  put_text(c, j, k);
}

/* ---- receiving ---- */

/* Takes note of a sequence number; returns whether it is a new one. */
static int in_order(Conn *c, Track *t, u32 sequence) {
  if (c->fresh || !t->last) {
    /* before the first frame of a peer that was there from the beginning, something may be missing too */
    u32 missing = c->fresh ? 0 : sequence - 1;
    N.lost += missing;
    t->last = sequence;
    t->seen = 1;
    return 1;
  }
  if (sequence > t->last) {
    u32 ahead = sequence - t->last;
    N.lost += ahead - 1;
    t->seen = ahead < 64 ? t->seen << ahead | 1 : 1;
    t->last = sequence;
    return 1;
  }
  u32 behind = t->last - sequence;
  if (behind < 64 && !(t->seen >> behind & 1)) {
    t->seen |= 1ull << behind;
    N.disordered++;
    N.lost -= N.lost > 0;
    return 1;
  }
  N.doubled++;
  return 0;
}

static void on_payload(Conn *c, const u8 *p, u64 now) {
  u32 call, sequence;
  u64 made;
  memcpy(&call, p + 4, 4);
  int track = p[8];
  memcpy(&sequence, p + 12, 4);
  memcpy(&made, p + 16, 8);
  if (memcmp(p, "PBM1", 4) || track > TALK || memcmp(p + 24, fill(call, track, sequence), PAYLOAD - 24)) {
    N.corrupt++;
    return;
  }
  if ((int)call != c->call || !(c->wants >> track & 1)) {
    N.wrong++;
    return;
  }
  Track *t = &c->track[track];
  if (!in_order(c, t, sequence))
    return;
  c->fresh = 0;
  u64 latency = now > made ? now - made : 0;
  if (t->at && now - t->at > c->gap)
    c->gap = now - t->at;
  t->at = now;
  if (latency > c->worst)
    c->worst = latency;
  N.received++;
  if (now >= measure_from && now < measure_to)
    m_received++;
  if (made >= measure_from && made < measure_to) {
    t->measured++;
    hist_add(&N.latency, latency);
  }
}

static void on_text(Conn *c, const u8 *p, u32 n, u64 now) {
  static const char key[] = "\"payload\":\"";
  u8 audio[PAYLOAD];
  N.text++;
  if (n < 2 || p[0] != '{' || p[n - 1] != '}') {
    N.corrupt++;
    return;
  }
  if (c->kind != TELNYX) {
    N.errors += memmem(p, n, "\"event\":\"error\"", 15) != NULL;
    return;
  }
  const u8 *q = memmem(p, n, "\"event\":\"media\"", 15) ? memmem(p, n, key, sizeof key - 1) : NULL;
  if (!q)
    return;
  q += sizeof key - 1;
  const u8 *end = memchr(q, '"', p + n - q);
  if (!end || b64_decode(q, end - q, audio, PAYLOAD) != PAYLOAD)
    N.corrupt++;
  else
    on_payload(c, audio, now);
}

static void on_frame(Conn *c, int opcode, const u8 *p, u32 n, u64 now) {
  u8 f[200];
  switch (opcode) {
  case 1:
    on_text(c, p, n, now);
    break;
  case 2:
    if (c->kind == TELNYX || n != PAYLOAD)
      N.corrupt++;
    else
      on_payload(c, p, now);
    break;
  case 8:
    closed(c);
    break;
  case 9:
    n_pings++;
    if (n <= 125)
      put(c, f, masked_frame(f, 10, p, n));
  }
}

/* Handles the complete frames of p..p+n; returns how many bytes those were. */
static u32 frames(Conn *c, const u8 *p, u32 n, u64 now) {
  u32 o = 0;
  while (!c->dead && n - o >= 2) {
    u32 h = 2;
    u64 l = p[o + 1] & 127;
    if (p[o + 1] & 128) { /* a server must not mask */
      N.corrupt++;
      closed(c);
      break;
    }
    if (l >= 126) {
      h = l == 126 ? 4 : 10;
      if (n - o < h)
        break;
      l = 0;
      for (u32 i = 2; i < h; i++)
        l = l << 8 | p[o + i];
    }
    if (n - o < h + l)
      break;
    on_frame(c, p[o] & 15, p + o + h, l, now);
    o += h + l;
  }
  return o;
}

static void keep(Conn *c, const u8 *p, u32 n) {
  c->inl = n;
  if (!n)
    return;
  if (n > c->inc)
    c->in = realloc(c->in, c->inc = n + 4096);
  memcpy(c->in, p, n);
}

static void on_readable(Conn *c) {
  static u8 buffer[1 << 20];
  u32 have = c->inl;
  memcpy(buffer, c->in, have);
  ssize_t r = recv(c->fd, buffer + have, 262144, MSG_DONTWAIT);
  if (r < 0 && errno == EAGAIN)
    return;
  if (r <= 0) {
    closed(c);
    return;
  }
  u32 n = have + r, used = frames(c, buffer, n, now_ns());
  keep(c, buffer + used, n - used);
}

static void serve(const struct epoll_event *events, int n) {
  for (int i = 0; i < n; i++) {
    Conn *c = events[i].data.ptr;
    if (!c) {
      commanded = 1;
      continue;
    }
    if (!c->dead && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
      on_readable(c);
    if (!c->dead && events[i].events & EPOLLOUT)
      flush_out(c);
  }
}

static void idle(u64 until) {
  struct epoll_event events[256];
  for (u64 n; (n = now_ns()) < until;)
    serve(events, epoll_wait(EP, events, 256, (int)((until - n) / MS) + 1));
}

/* ---- opening ---- */

/* These two return what went wrong, NULL if nothing did. */
static const char *request(Conn *c) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(c->kind != TELNYX && O.listen_port ? O.listen_port : O.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0 || connect(c->fd, (void *)&a, sizeof a))
    return "cannot connect";
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct timeval patience = {20, 0};
  setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  char b[4096], id[80], query[160] = "";
  call_id(id, c->call);
  if (c->kind != TELNYX)
    sprintf(query, "?call_control_id=%s&track=%s", id, c->wants == 3 ? "both" : c->wants == 2 ? "outbound" : "inbound");
  const char *more = c->kind == TELNYX ? O.telnyx_header : O.browser_header;
  int n = snprintf(b, sizeof b,
                  "GET /audio-stream%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s%s%sUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                  query, O.port, more, *more ? "\r\n" : "",
                  c->kind == TELNYX ? "User-Agent: Telnyx-Media-Streaming/1.0\r\n"
                                    : "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Chrome/120.0\r\n"
                                      "Origin: http://127.0.0.1\r\n");
  if (n >= (int)sizeof b)
    return "a header is too long";
  return send(c->fd, b, n, MSG_NOSIGNAL) == n ? NULL : "could not send a request";
}

static const char *response(Conn *c) {
  char b[8192];
  int n = 0;
  char *body = NULL;
  while (!body) {
    ssize_t r = recv(c->fd, b + n, sizeof b - 1 - n, 0);
    if (r <= 0)
      return r ? "no answer to a handshake" : "closed in a handshake";
    b[n += r] = 0;
    body = strstr(b, "\r\n\r\n");
  }
  body += 4;
  if (strncmp(b, "HTTP/1.1 101", 12) || !strstr(b, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
    return "handshake refused";
  fcntl(c->fd, F_SETFL, fcntl(c->fd, F_GETFL) | O_NONBLOCK);
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
  if (epoll_ctl(EP, EPOLL_CTL_ADD, c->fd, &e))
    die("epoll_ctl: %s", strerror(errno));
  u32 left = n - (body - b), used = frames(c, (u8 *)body, left, now_ns());
  keep(c, (u8 *)body + used, left - used);
  return NULL;
}

static void open_all(Conn *c, int n) {
  for (int i = 0; i < n; i += 32) {
    int m = n - i < 32 ? n - i : 32;
    const char *wrong = NULL;
    for (int j = 0; j < m && !wrong; j++)
      wrong = request(c + i + j);
    for (int j = 0; j < m && !wrong; j++)
      wrong = response(c + i + j);
    if (wrong)
      die("%s: %s", wrong, strerror(errno));
    if (c->kind == TELNYX)
      for (int j = 0; j < m; j++)
        send_start(c + i + j);
  }
}

/* Connects again those that were disconnected, until one can't be; returns how many still are. */
static int reopen(Conn *c, int n) {
  int failed = 0;
  for (int i = 0; i < n; i++)
    if (c[i].dead && !failed) {
      close(c[i].fd);
      c[i].armed = 0;
      c[i].inl = 0;
      c[i].fresh = 1;
      memset(c[i].track, 0, sizeof c[i].track);
      c[i].dead = 0; /* or what comes with the answer would be left */
      failed = c[i].dead = request(&c[i]) || response(&c[i]);
      if (!failed && c[i].kind == TELNYX)
        send_start(&c[i]);
    } else
      failed += c[i].dead;
  return failed;
}

static void set_up(void) {
  int each = O.listeners + O.talkers;
  n_browsers = O.calls * each;
  telnyx = calloc(O.calls, sizeof(Conn));
  browsers = calloc(n_browsers + 1, sizeof(Conn));
  connection_sequence = calloc(O.calls, 4);
  for (int i = 0; i < O.calls; i++) {
    telnyx[i].call = i;
    telnyx[i].wants = 1 << TALK;
  }
  for (int i = 0; i < n_browsers; i++) {
    Conn *c = &browsers[i];
    c->call = i / each;
    c->kind = i % each < O.listeners ? LISTENER : TALKER;
    c->wants = O.both ? 3 : 1 << (i % each) % O.tracks;
    if (c->kind == TALKER)
      c->wants = 1; /* it has to listen to something */
  }
  sources = calloc(O.calls * (O.tracks + O.talkers) + 1, sizeof(Source));
  for (int i = 0; i < O.calls && !O.silent; i++)
    for (int t = 0; t < O.tracks; t++)
      sources[n_sources++] = (Source){.conn = &telnyx[i], .track = t};
  for (int i = 0; i < n_browsers; i++)
    if (browsers[i].kind == TALKER)
      sources[n_sources++] = (Source){.conn = &browsers[i], .track = TALK};
}

static int by_phase(const void *a, const void *b) {
  u64 x = ((const Source *)a)->phase, y = ((const Source *)b)->phase;
  return x < y ? -1 : x > y;
}

/* ---- what the operating system says ---- */

#define MAX_PROCESSES 64
typedef struct {
  int pid, threads;
  double user_s, system_s;
  long rss_kb, pss_kb;
  char command[96];
} Process;

static int read_stat(int pid, int *parent, Process *p) {
  char path[64], text[1024];
  sprintf(path, "/proc/%d/stat", pid);
  FILE *f = fopen(path, "r");
  if (!f)
    return 0;
  size_t n = fread(text, 1, sizeof text - 1, f);
  fclose(f);
  text[n] = 0;
  char *s = strrchr(text, ')'), state;
  unsigned long user, system;
  if (!s || sscanf(s + 2, "%c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %d", &state, parent, &user,
                   &system, &p->threads) != 5)
    return 0;
  p->pid = pid;
  p->user_s = (double)user / sysconf(_SC_CLK_TCK);
  p->system_s = (double)system / sysconf(_SC_CLK_TCK);
  return 1;
}

static void read_memory(Process *p) {
  char path[64], line[256];
  sprintf(path, "/proc/%d/smaps_rollup", p->pid);
  FILE *f = fopen(path, "r");
  while (f && fgets(line, sizeof line, f)) {
    sscanf(line, "Rss: %ld", &p->rss_kb);
    sscanf(line, "Pss: %ld", &p->pss_kb);
  }
  if (f)
    fclose(f);
  sprintf(path, "/proc/%d/cmdline", p->pid);
  f = fopen(path, "r");
  size_t n = f ? fread(p->command, 1, sizeof p->command - 1, f) : 0;
  if (f)
    fclose(f);
  for (size_t i = 0; i < n; i++)
    if (p->command[i] < ' ' || p->command[i] == '"' || p->command[i] == '\\')
      p->command[i] = ' ';
}

/* The server's process and all below it. */
static int tree(Process *out, int with_memory) {
  static struct { int pid, parent; } all[65536];
  if (!O.pid)
    return 0;
  int n = 0, m = 1, k = 0, pids[MAX_PROCESSES] = {O.pid}, parent;
  Process p;
  DIR *d = opendir("/proc");
  for (struct dirent *e; (e = readdir(d)) && n < 65536;)
    if (isdigit((u8)e->d_name[0]) && read_stat(atoi(e->d_name), &parent, &p)) {
      all[n].pid = p.pid;
      all[n++].parent = parent;
    }
  closedir(d);
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n && m < MAX_PROCESSES; j++)
      if (all[j].parent == pids[i])
        pids[m++] = all[j].pid;
  for (int i = 0; i < m; i++) {
    memset(&out[k], 0, sizeof *out);
    if (read_stat(pids[i], &parent, &out[k])) {
      if (with_memory)
        read_memory(&out[k]);
      k++;
    }
  }
  return k;
}

static double own_cpu_s(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

/* All cores' busy and stolen time. */
static void machine(double *busy, double *stolen) {
  unsigned long v[8] = {0};
  FILE *f = fopen("/proc/stat", "r");
  if (f) {
    if (fscanf(f, "cpu %lu %lu %lu %lu %lu %lu %lu %lu", v, v + 1, v + 2, v + 3, v + 4, v + 5, v + 6, v + 7) < 8)
      v[7] = 0;
    fclose(f);
  }
  *busy = (double)(v[0] + v[1] + v[2] + v[5] + v[6]) / sysconf(_SC_CLK_TCK);
  *stolen = (double)v[7] / sysconf(_SC_CLK_TCK);
}

typedef struct {
  Process p[MAX_PROCESSES];
  int n;
  double own_s, busy_s, stolen_s;
  u64 at;
} Snapshot;

static void snapshot(Snapshot *s, int with_memory) {
  s->n = tree(s->p, with_memory);
  s->own_s = own_cpu_s();
  machine(&s->busy_s, &s->stolen_s);
  s->at = now_ns();
}

/* ---- the report ---- */

static void print_counts(void) {
  printf("\"sent\":%lu,\"received\":%lu,\"lost\":%lu,\"doubled\":%lu,\"disordered\":%lu,\"corrupt\":%lu,\"wrong\":%lu,"
         "\"closed_telnyx\":%lu,\"closed_browsers\":%lu,\"text\":%lu,\"errors\":%lu",
         N.sent, N.received, N.lost, N.doubled, N.disordered, N.corrupt, N.wrong, N.closed_telnyx, N.closed_browsers,
         N.text, N.errors);
  printf(",\"latency_ms\":{\"n\":%lu,\"mean\":%.4f,\"p50\":%.4f,\"p90\":%.4f,\"p99\":%.4f,\"p999\":%.4f,\"max\":%.4f}",
         N.latency.n, N.latency.n ? N.latency.sum / N.latency.n / 1e6 : 0, hist_ms(&N.latency, .5),
         hist_ms(&N.latency, .9), hist_ms(&N.latency, .99), hist_ms(&N.latency, .999), N.latency.max / 1e6);
  printf(",\"lag_ms\":{\"p50\":%.4f,\"p99\":%.4f,\"max\":%.4f}", hist_ms(&N.lag, .5), hist_ms(&N.lag, .99),
         N.lag.max / 1e6);
}

static void print_usage(const Snapshot *a, const Snapshot *b) {
  double wall_s = (b->at - a->at) / 1e9, cpu_s = 0;
  printf(",\"wall_s\":%.3f,\"processes\":[", wall_s);
  for (int i = 0; i < b->n; i++) {
    Process p = b->p[i];
    for (int j = 0; j < a->n; j++)
      if (a->p[j].pid == p.pid) {
        p.user_s -= a->p[j].user_s;
        p.system_s -= a->p[j].system_s;
      }
    cpu_s += p.user_s + p.system_s;
    printf("%s{\"pid\":%d,\"command\":\"%s\",\"threads\":%d,\"user_s\":%.2f,\"system_s\":%.2f,\"rss_kb\":%ld,\"pss_kb\":%ld}",
           i ? "," : "", p.pid, p.command, p.threads, p.user_s, p.system_s, p.rss_kb, p.pss_kb);
  }
  double own_s = b->own_s - a->own_s;
  printf("],\"server_cpu_s\":%.3f,\"generator_cpu_s\":%.3f,\"other_cpu_s\":%.3f,\"stolen_s\":%.3f", cpu_s, own_s,
         b->busy_s - a->busy_s - own_s - cpu_s, b->stolen_s - a->stolen_s);
}

/* Of the frames made in the measured time, those that did not come to one who wanted them. */
static u64 missing(void) {
  u64 expected = 0, came = 0;
  for (int i = 0; i < n_sources; i++) {
    const Source *s = &sources[i];
    if (s->track == TALK)
      expected += s->measured;
    else
      for (int j = 0; j < n_browsers; j++)
        expected += browsers[j].call == s->conn->call && browsers[j].wants >> s->track & 1 ? s->measured : 0;
  }
  for (int i = 0; i < n_browsers; i++)
    came += browsers[i].track[0].measured + browsers[i].track[1].measured;
  for (int i = 0; i < O.calls; i++)
    came += telnyx[i].track[TALK].measured;
  return expected > came ? expected - came : 0;
}

static void drain(void) {
  u64 until = now_ns() + (u64)(O.drain * 1e9), last = ~0ull;
  for (u64 m; (m = missing()) && now_ns() < until; last = m)
    idle(now_ns() + (last == m ? 50 : 5) * MS);
}

/* ---- windows, for whoever does harm meanwhile: begin, end, reopen, quit ---- */

static Snapshot window_begin;

static void begin_window(void) {
  memset(&N, 0, sizeof N);
  for (int i = 0; i < n_browsers; i++)
    browsers[i].gap = browsers[i].worst = 0;
  snapshot(&window_begin, 0);
}

static void end_window(void) {
  Snapshot end;
  u64 now = now_ns();
  snapshot(&end, 1);
  printf("{");
  print_counts();
  print_usage(&window_begin, &end);
  printf(",\"listeners\":[");
  int first = 1;
  for (int i = 0; i < n_browsers; i++) {
    Conn *c = &browsers[i];
    for (int t = 0; t < 2; t++)
      if (c->track[t].at && now - c->track[t].at > c->gap)
        c->gap = now - c->track[t].at;
    if (c->kind == LISTENER) {
      printf("%s[%.1f,%.1f]", first ? "" : ",", c->gap / 1e6, c->worst / 1e6);
      first = 0;
    }
  }
  printf("]}\n");
  fflush(stdout);
}

/* Carries out the commands that have come; returns whether to go on. */
static int command(void) {
  static char line[256];
  static int n;
  commanded = 0;
  ssize_t r = read(0, line + n, sizeof line - 1 - n);
  if (r == 0)
    return 0;
  n += r > 0 ? r : 0;
  for (char *end; (end = memchr(line, '\n', n));) {
    *end = 0;
    if (!strcmp(line, "quit"))
      return 0;
    if (!strcmp(line, "begin"))
      begin_window();
    else if (!strcmp(line, "end"))
      end_window();
    else if (!strcmp(line, "reopen")) {
      int failed = reopen(telnyx, O.calls);
      failed += reopen(browsers, n_browsers);
      printf("{\"failed\":%d}\n", failed);
      fflush(stdout);
    } else
      die("unknown command %s", line);
    n -= end + 1 - line;
    memmove(line, end + 1, n);
  }
  return 1;
}

/* ---- the run ---- */

/* Sends what is due by now; returns when the next one is. */
static u64 send_due(u64 start, u64 period, u64 stop) {
  static u64 round;
  static int next;
  u64 began = now_ns(), due;
  while ((due = start + round * period + sources[next].phase) <= began && due < stop) {
    u64 t = now_ns();
    if (t >= measure_from)
      hist_add(&N.lag, t - due);
    send_media(&sources[next], t);
    if (++next == n_sources) {
      next = 0;
      round++;
    }
    if (t > began + 2 * MS)
      break; /* reading must have its turn */
  }
  return due;
}

static void wait_for(u64 until) {
  struct epoll_event events[512];
  u64 n = now_ns(), ns = until > n ? until - n : 0;
  struct timespec t = {ns / 1000000000, ns % 1000000000};
  serve(events, epoll_pwait2(EP, events, 512, &t, NULL));
}

static u64 run(u64 start, Snapshot *from) {
  u64 period = (u64)(1e9 / O.fps), tick = (u64)O.tick_us * 1000, n;
  int measuring = O.control;
  for (int i = 0; i < n_sources; i++)
    sources[i].phase = rnd() % period;
  qsort(sources, n_sources, sizeof *sources, by_phase);
  while ((n = now_ns()) < measure_to) {
    if (!measuring && n >= measure_from) {
      snapshot(from, 0);
      measuring = 1;
    }
    u64 next = send_due(start, period, measure_to);
    n = now_ns();
    if (next < n + tick)
      next = next <= n ? n : n + tick;
    if (!measuring && next > measure_from)
      next = measure_from;
    wait_for(next < measure_to ? next : measure_to);
    if (commanded && !command())
      break;
  }
  return n;
}

static int once(u64 opened_ns) {
  Snapshot from, to;
  u64 start = now_ns() + 20 * MS;
  measure_from = start + (u64)(O.warmup * 1e9);
  measure_to = measure_from + (u64)(O.seconds * 1e9);
  run(start, &from);
  snapshot(&to, 1);
  drain();
  u64 unsent = 0, lost = missing();
  for (int i = 0; i < O.calls; i++)
    unsent += telnyx[i].ol - telnyx[i].oo;
  u64 bad = N.doubled + N.disordered + N.corrupt + N.wrong + N.closed_telnyx + N.closed_browsers + N.errors;
  int ok = !lost && !bad && !unsent;
  printf("{\"ok\":%s,\"in_sent\":%lu,\"in_received\":%lu,\"missing\":%lu,\"unsent_bytes\":%lu,\"opening_s\":%.3f,",
         ok ? "true" : "false", m_sent, m_received, lost, unsent, opened_ns / 1e9);
  print_counts();
  print_usage(&from, &to);
  printf(",\"blocked\":%lu,\"max_backlog_bytes\":%lu,\"pings\":%lu}\n", n_blocked, max_backlog, n_pings);
  return ok ? 0 : 1;
}

static int controlled(void) {
  Snapshot unused;
  struct epoll_event e = {.events = EPOLLIN};
  epoll_ctl(EP, EPOLL_CTL_ADD, 0, &e);
  measure_from = 0;
  measure_to = ~0ull;
  begin_window();
  printf("{\"ready\":true}\n");
  fflush(stdout);
  run(now_ns() + 20 * MS, &unused);
  return 0;
}

static const char HELP[] =
    "loadgen - load generator and checker for a relay of Telnyx media streams on this machine\n"
    "  --port N      (5006)                             --calls N     connections of Telnyx, one a call (10)\n"
    "  --listeners N for each call (2)                  --tracks N    1 or 2 of each call (2)\n"
    "  --both        a listener hears both tracks, not one of them in turn\n"
    "  --talkers N   for each call, 0 or 1 (0)          --silent      Telnyx sends no media\n"
    "  --fps F       frames a second and track (50)     --tick-us N   due frames are sent together (200)\n"
    "  --settle F    s, quiet before the media (0.7)    --warmup F    s, sent and not measured (1)\n"
    "  --seconds F   measured (5)                       --drain F     s, longest wait for the rest (3)\n"
    "  --cpu N       run on this core                   --pid N       server: CPU and memory of it and all below\n"
    "  --urgent      SCHED_RR, before all other work, the server too\n"
    "  --listen-port N  where the listeners are, if not at --port\n"
    "  --telnyx-header, --browser-header TEXT   one more header of their requests, for a token\n"
    "  --control     run until stdin says quit; begin/end make a window and print its counts, reopen reconnects\n"
    "Prints JSON. Status 0: everything came, intact, in order, to whom it was for; 1: not so; 2: could not run.\n";

static void options(int argc, char **argv) {
  static const struct option names[] = {
      {"port", 1, 0, 'p'},    {"calls", 1, 0, 'c'},   {"listeners", 1, 0, 'l'}, {"tracks", 1, 0, 't'},
      {"both", 0, 0, 'B'},    {"talkers", 1, 0, 'T'}, {"silent", 0, 0, 'S'},    {"fps", 1, 0, 'f'},
      {"tick-us", 1, 0, 'u'}, {"settle", 1, 0, 'e'},  {"warmup", 1, 0, 'w'},    {"seconds", 1, 0, 's'},
      {"drain", 1, 0, 'd'},   {"cpu", 1, 0, 'C'},     {"pid", 1, 0, 'i'},       {"control", 0, 0, 'x'},
      {"urgent", 0, 0, 'U'},  {"telnyx-header", 1, 0, 'H'}, {"browser-header", 1, 0, 'b'},
      {"listen-port", 1, 0, 'L'}, {"help", 0, 0, 'h'},    {0}};
  for (int o; (o = getopt_long(argc, argv, "", names, NULL)) != -1;)
    switch (o) {
    case 'p': O.port = atoi(optarg); break;
    case 'c': O.calls = atoi(optarg); break;
    case 'l': O.listeners = atoi(optarg); break;
    case 't': O.tracks = atoi(optarg); break;
    case 'B': O.both = 1; break;
    case 'T': O.talkers = atoi(optarg); break;
    case 'S': O.silent = 1; break;
    case 'f': O.fps = atof(optarg); break;
    case 'u': O.tick_us = atoi(optarg); break;
    case 'e': O.settle = atof(optarg); break;
    case 'w': O.warmup = atof(optarg); break;
    case 's': O.seconds = atof(optarg); break;
    case 'd': O.drain = atof(optarg); break;
    case 'C': O.cpu = atoi(optarg); break;
    case 'i': O.pid = atoi(optarg); break;
    case 'x': O.control = 1; break;
    case 'U': O.urgent = 1; break;
    case 'L': O.listen_port = atoi(optarg); break;
    case 'H': O.telnyx_header = optarg; break;
    case 'b': O.browser_header = optarg; break;
    default: fputs(HELP, stderr); exit(o == 'h' ? 0 : 2);
    }
  if (O.tracks < 1 || O.tracks > 2 || O.calls < 1 || O.listeners < 0 || O.talkers < 0 || O.talkers > 1 || O.fps <= 0)
    die("an option is out of range; see --help");
}

int main(int argc, char **argv) {
  options(argc, argv);
  if (O.cpu >= 0) {
    cpu_set_t s;
    CPU_ZERO(&s);
    CPU_SET(O.cpu, &s);
    sched_setaffinity(0, sizeof s, &s);
  }
  struct sched_param priority = {.sched_priority = 20}; /* before the server: what is late here would be measured as late there */
  if (O.urgent && sched_setscheduler(0, SCHED_RR, &priority))
    die("SCHED_RR: %s", strerror(errno));
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  signal(SIGPIPE, SIG_IGN);
  for (int i = 0; i < 512; i++)
    FILL[i] = i;
  EP = epoll_create1(EPOLL_CLOEXEC);
  measure_from = measure_to = ~0ull;
  set_up();
  u64 began = now_ns();
  open_all(telnyx, O.calls);
  if (n_browsers)
    open_all(browsers, n_browsers);
  u64 opened = now_ns() - began;
  idle(now_ns() + (u64)(O.settle * 1e9));
  return O.control ? controlled() : once(opened);
}
