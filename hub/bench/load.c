// The load client of `hub bench`, compiled at run time. A Python client would be slower than the server under test.
//
//   load post     --request FILE --connections N --warm S --seconds S --users N
//   load latency  --request FILE --connections N --tokens FILE --subscribe FILE --rate N --warm S --seconds S
//   load fanout   --request FILE --tokens FILE --subscribe FILE --rounds N [--messages N --publisher PORT]
//   load idle     --tokens FILE --subscribe FILE
//
// All of them take --port. `post` keeps every connection busy, `latency` sends at a fixed rate to random subscribers,
// `fanout` sends the request and waits until every socket has received it, `idle` holds the sockets until its input ends.
// With a publisher, the rounds of `fanout` send the request to that port, and wait for this number of messages.
// The output is one JSON object per line; times are in milliseconds.
//
// The request file is a complete HTTP request, the subscribe file a complete message. In both, ###### is replaced by a
// number (of a random user, or of the socket), and @@@@@@@@@@@@@@@@@@@ by the time at which the request was due. The
// tokens file has one token per line; each opens one socket.
//
// One thread, one epoll. WebSocket frames (RFC 6455) are masked with zeros, which leaves the payload unchanged.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NUMBER "######"
#define TIME "@@@@@@@@@@@@@@@@@@@"
#define TITLE "\"title\":\""
#define OFFSETS_MAX 4096
#define OPENING_MAX 64          // simultaneous handshakes
#define OPENED_PER_S 700        // subscriptions per second, to avoid a burst, which is not measured
#define EVENTS_MAX 512
#define INPUT_BYTES (4 << 20)   // of one message or one response, at most
#define SECOND_NS 1000000000LL
#define TIMEOUT_NS (30 * SECOND_NS)

enum Stage { FREE, BUSY, UPGRADING, GREETING, SUBSCRIBED, GONE };
enum Opcode { TEXT = 1, CLOSE = 8, PING = 9, PONG = 10 };

typedef struct {
    int fd;
    enum Stage stage;
    int number;
    int64_t due_ns;       // of the request in progress
    char *rest;           // the beginning of an incomplete message
    size_t rest_length;
} Peer;

typedef struct {
    char *bytes;
    size_t length;
    size_t numbers[OFFSETS_MAX], number_count;
    size_t times[OFFSETS_MAX], time_count;
} Template;

typedef struct {
    double *values;
    size_t count, room;
} Sample;

static int port, publisher, messages, connections = 1, users = 1, rounds = 10, poller;
static double warm_s, seconds = 5, rate = 100;
static const char *request_file, *tokens_file, *subscribe_file;

static Template request, subscription;
static char **tokens;
static int token_count;
static Peer *https, *sockets;
static int opened, opening, lost;
static int64_t opening_since_ns;

static bool recording;
static Sample waits;               // from a request to its response or to its arrival at a socket
static long sent, responses, refused, received, skipped;
static int64_t last_response_ns, first_message_ns, last_message_ns;
static char input[INPUT_BYTES + 1], message[1 << 16];

static void fail(const char *format, ...) {
    va_list rest;
    va_start(rest, format);
    vfprintf(stderr, format, rest);
    va_end(rest);
    fputc('\n', stderr);
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * SECOND_NS + at.tv_nsec;
}

static unsigned random_below(unsigned bound) {  // xorshift: the same users in every run
    static uint64_t state = 88172645463325252ULL;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state % bound);
}

// ---------------------------------------------------------------------------------------------------- figures

static void record(Sample *sample, double value) {
    if (sample->count == sample->room) {
        sample->room = sample->room ? 2 * sample->room : 4096;
        sample->values = realloc(sample->values, sample->room * sizeof(double));
        if (!sample->values) fail("out of memory");
    }
    sample->values[sample->count++] = value;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_sample(const char *name, Sample *sample) {
    if (!sample->count) fail("nothing was measured: %s", name);
    qsort(sample->values, sample->count, sizeof(double), compare);
    double *values = sample->values;
    size_t last = sample->count - 1;
    printf("\"%s\":{\"count\":%zu,\"min\":%.3f,\"p50\":%.3f,\"p90\":%.3f,\"p95\":%.3f,\"p99\":%.3f,\"max\":%.3f}", name,
           sample->count, values[0], values[last / 2], values[last * 9 / 10], values[last * 95 / 100],
           values[last * 99 / 100], values[last]);
}

// ---------------------------------------------------------------------------------------------------- templates

static char *read_file(const char *path, size_t *length) {
    FILE *file = path ? fopen(path, "rb") : NULL;
    if (!file) fail("cannot read %s", path ? path : "the file: its option is missing");
    fseek(file, 0, SEEK_END);
    *length = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*length + 1);
    if (!bytes || fread(bytes, 1, *length, file) != *length) fail("cannot read %s", path);
    bytes[*length] = 0;
    fclose(file);
    return bytes;
}

static size_t find_all(const char *text, const char *mark, size_t *offsets) {
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, mark)); at += strlen(mark)) {
        if (count == OFFSETS_MAX) fail("more than %d placeholders in one template", OFFSETS_MAX);
        offsets[count++] = (size_t)(at - text);
    }
    return count;
}

static Template read_template(const char *path) {
    Template template = {0};
    template.bytes = read_file(path, &template.length);
    template.number_count = find_all(template.bytes, NUMBER, template.numbers);
    template.time_count = find_all(template.bytes, TIME, template.times);
    return template;
}

static void put_number(char *target, int64_t value, int digits) {
    while (digits--) {
        target[digits] = (char)('0' + value % 10);
        value /= 10;
    }
}

static void read_tokens(void) {
    size_t length;
    char *text = read_file(tokens_file, &length);
    tokens = calloc(length / 2 + 1, sizeof(char *));
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) tokens[token_count++] = line;
    if (!token_count) fail("no tokens");
}

// ---------------------------------------------------------------------------------------------------- connections

static void connect_peer(Peer *peer, int to_port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)to_port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    peer->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (peer->fd < 0 || connect(peer->fd, (struct sockaddr *)&address, sizeof address)) fail("connect: %s", strerror(errno));
    setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(peer->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, peer->fd, &event)) fail("epoll: %s", strerror(errno));
}

static void write_all(Peer *peer, const char *bytes, size_t length) {
    while (length) {
        ssize_t count = write(peer->fd, bytes, length);
        if (count < 0 && errno == EAGAIN) {
            struct pollfd wait = {.fd = peer->fd, .events = POLLOUT};
            poll(&wait, 1, 1000);
            continue;
        }
        if (count < 0) fail("write: %s", strerror(errno));
        bytes += count;
        length -= (size_t)count;
    }
}

static void send_frame(Peer *peer, enum Opcode opcode, const char *text, size_t length) {
    unsigned char frame[8 + sizeof message];
    size_t head = 2;
    frame[0] = (unsigned char)(0x80 | opcode);
    if (length < 126) {
        frame[1] = (unsigned char)(0x80 | length);
    } else {
        frame[1] = 0x80 | 126;
        frame[2] = (unsigned char)(length >> 8);
        frame[3] = (unsigned char)length;
        head = 4;
    }
    memset(frame + head, 0, 4);
    memcpy(frame + head + 4, text, length);
    write_all(peer, (char *)frame, head + 4 + length);
}

static void send_request(Peer *http, int64_t due_ns) {
    for (size_t i = 0; i < request.number_count; i++)
        put_number(request.bytes + request.numbers[i], random_below((unsigned)users), strlen(NUMBER));
    for (size_t i = 0; i < request.time_count; i++) put_number(request.bytes + request.times[i], due_ns, strlen(TIME));
    http->stage = BUSY;
    http->due_ns = due_ns;
    sent++;
    write_all(http, request.bytes, request.length);
}

static void subscribe(Peer *socket) {
    for (size_t i = 0; i < subscription.number_count; i++)
        put_number(subscription.bytes + subscription.numbers[i], socket->number, strlen(NUMBER));
    send_frame(socket, TEXT, subscription.bytes, subscription.length);
}

static void open_next(void) {
    static const char upgrade[] =
        "GET /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n";
    double due = (double)(now_ns() - opening_since_ns) / 1e9 * OPENED_PER_S;
    while (opened + opening < token_count && opening < OPENING_MAX && opened + opening < due) {
        Peer *socket = &sockets[opened + opening];
        socket->number = opened + opening;
        opening++;
        connect_peer(socket, port);
        socket->stage = UPGRADING;
        write_all(socket, upgrade, sizeof upgrade - 1);
    }
}

// ---------------------------------------------------------------------------------------------------- incoming data

// Each function handles one complete item at the beginning of `bytes` and returns its length, or 0 if it is incomplete.

static size_t take_response(Peer *http, char *bytes, size_t length, int64_t at_ns) {
    char *end = memmem(bytes, length, "\r\n\r\n", 4);
    if (!end) return 0;
    end += 4;
    char saved = *end;
    *end = 0;
    char *size = strcasestr(bytes, "content-length:");
    *end = saved;
    if (!size) fail("a response without content-length:\n%.500s", bytes);
    size_t total = (size_t)(end - bytes) + strtoul(size + 15, NULL, 10);
    if (length < total) return 0;
    bool good = !strncmp(bytes + 9, "200", 3) && !memmem(end, total - (size_t)(end - bytes), "\"errors\"", 8);
    if (!good && !refused++) fprintf(stderr, "error: %.600s\n", bytes);
    responses++;
    last_response_ns = at_ns;
    http->stage = FREE;
    if (recording && http->due_ns && !sockets) record(&waits, (double)(at_ns - http->due_ns) / 1e6);
    return total;
}

static size_t take_upgrade(Peer *socket, char *bytes, size_t length) {
    char *end = memmem(bytes, length, "\r\n\r\n", 4);
    if (!end) return 0;
    if (strncmp(bytes, "HTTP/1.1 101", 12)) fail("no WebSocket: %.300s", bytes);
    int size = snprintf(message, sizeof message, "{\"type\":\"connection_init\",\"payload\":{\"authorization\":\"Bearer %s\"}}",
                        tokens[socket->number]);
    send_frame(socket, TEXT, message, (size_t)size);
    socket->stage = GREETING;
    return (size_t)(end + 4 - bytes);
}

static void take_text(Peer *socket, char *text, size_t length, int64_t at_ns) {
    char *type = memmem(text, length < 200 ? length : 200, "\"type\":\"", 8);
    if (!type) fail("unexpected: %.*s", (int)(length < 600 ? length : 600), text);
    type += 8;
    if (!strncmp(type, "next\"", 5)) {
        received++;
        if (!first_message_ns) first_message_ns = at_ns;
        last_message_ns = at_ns;
        if (!recording) return;
        char *title = memmem(text, length, TITLE, strlen(TITLE));
        int64_t due_ns = title ? strtoll(title + strlen(TITLE), NULL, 10) : 0;
        if (due_ns) record(&waits, (double)(at_ns - due_ns) / 1e6);
    } else if (!strncmp(type, "connection_ack\"", 15) && socket->stage == GREETING) {
        subscribe(socket);
        socket->stage = SUBSCRIBED;
        opening--;
        opened++;
    } else if (!strncmp(type, "error\"", 6) && !recording && memmem(text, length, "UNAVAILABLE", 11)) {
        subscribe(socket);  // retry, as every client does
    } else if (!strncmp(type, "ping\"", 5)) {
        send_frame(socket, TEXT, "{\"type\":\"pong\"}", 15);
    } else {
        fail("unexpected: %.*s", (int)(length < 600 ? length : 600), text);
    }
}

static size_t take_frame(Peer *socket, char *bytes, size_t length, int64_t at_ns) {
    unsigned char *head = (unsigned char *)bytes;
    if (length < 2) return 0;
    size_t size = head[1] & 127, start = 2;
    if (size >= 126) {
        size_t digits = size == 126 ? 2 : 8;
        start += digits;
        if (length < start) return 0;
        size = 0;
        for (size_t i = 0; i < digits; i++) size = size << 8 | head[2 + i];
    }
    if (length < start + size) return 0;
    switch (head[0] & 15) {
    case TEXT: take_text(socket, bytes + start, size, at_ns); break;
    case PING: send_frame(socket, PONG, bytes + start, size); break;
    case CLOSE: fprintf(stderr, "closed: %.*s\n", (int)size - 2, bytes + start + 2); break;
    }
    return start + size;
}

static void drop(Peer *peer) {
    if (peer->stage != SUBSCRIBED) fail("the server closed a connection");
    epoll_ctl(poller, EPOLL_CTL_DEL, peer->fd, NULL);
    close(peer->fd);
    peer->stage = GONE;
    lost++;
}

static void read_peer(Peer *peer) {
    size_t length = peer->rest_length;
    if (length) memcpy(input, peer->rest, length);
    ssize_t count = read(peer->fd, input + length, INPUT_BYTES - length);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) {
        drop(peer);
        return;
    }
    int64_t at_ns = now_ns();
    length += (size_t)count;
    input[length] = 0;
    size_t done = 0, taken;
    do {
        char *bytes = input + done;
        size_t left = length - done;
        if (!left) break;
        if (peer->stage == UPGRADING) taken = take_upgrade(peer, bytes, left);
        else if (peer->stage == GREETING || peer->stage == SUBSCRIBED) taken = take_frame(peer, bytes, left, at_ns);
        else taken = take_response(peer, bytes, left, at_ns);
        done += taken;
    } while (taken);
    peer->rest_length = length - done;
    if (peer->rest_length) {
        peer->rest = realloc(peer->rest, peer->rest_length);
        if (!peer->rest) fail("out of memory");
        memcpy(peer->rest, input + done, peer->rest_length);
    }
}

// Handle events, or wait for one until `until_ns`. Return false if that time has passed.
static bool step(int64_t until_ns) {
    struct epoll_event events[EVENTS_MAX];
    int64_t left_ns = until_ns - now_ns();
    if (left_ns <= 0) return false;
    int count = epoll_wait(poller, events, EVENTS_MAX, 0);
    if (!count) {
        struct pollfd wait = {.fd = poller, .events = POLLIN};
        struct timespec left = {.tv_sec = left_ns / SECOND_NS, .tv_nsec = left_ns % SECOND_NS};
        ppoll(&wait, 1, &left, NULL);  // epoll_wait has a resolution of milliseconds
        return true;
    }
    for (int i = 0; i < count; i++)
        if (events[i].data.ptr) read_peer(events[i].data.ptr);
    return true;
}

// ---------------------------------------------------------------------------------------------------- modes

static int64_t after(double s) {
    return now_ns() + (int64_t)(s * 1e9);
}

static void open_https(int count, int to_port) {
    https = calloc((size_t)count, sizeof(Peer));
    for (int i = 0; i < count; i++) connect_peer(&https[i], to_port);
    connections = count;
}

static double open_sockets(void) {
    read_tokens();
    subscription = read_template(subscribe_file);
    sockets = calloc((size_t)token_count, sizeof(Peer));
    users = token_count;
    opening_since_ns = now_ns();
    while (opened < token_count) {
        open_next();
        step(now_ns() + SECOND_NS / 200);
        if (now_ns() > opening_since_ns + 10 * TIMEOUT_NS) fail("only %d of %d sockets are open", opened, token_count);
    }
    return (double)(now_ns() - opening_since_ns) / 1e9;
}

static Peer *free_http(void) {
    for (int i = 0; i < connections; i++)
        if (https[i].stage == FREE) return &https[i];
    return NULL;
}

static void keep_busy(int64_t until_ns) {
    do {
        for (Peer *http; (http = free_http());) send_request(http, now_ns());
    } while (step(until_ns));
}

static void run_post(void) {
    open_https(connections, port);
    keep_busy(after(warm_s));
    recording = true;
    int64_t began_ns = now_ns();
    long before = responses;
    printf("{\"measuring\":true}\n");
    fflush(stdout);
    keep_busy(after(seconds));
    double took_s = (double)(now_ns() - began_ns) / 1e9;
    printf("{\"seconds\":%.3f,\"responses\":%ld,\"refused\":%ld,", took_s, responses - before, refused);
    print_sample("response_ms", &waits);
    printf("}\n");
}

// Send to all users until every socket has received a message: all subscriptions are active then.
static void await_subscriptions(void) {
    for (int attempt = 0; attempt < 20; attempt++) {
        Peer *http = free_http();
        received = 0;
        send_request(http, now_ns());
        int64_t until_ns = after(3);
        while ((received < token_count || http->stage == BUSY) && step(until_ns)) {}
        if (received == token_count && http->stage == FREE) return;
        while (http->stage == BUSY)
            if (!step(after(30))) break;
    }
    fail("%ld of %d subscriptions are active", received, token_count);
}

static void pause_for(double s) {
    int64_t until_ns = after(s);
    while (step(until_ns)) {}
}

static void send_at_rate(double for_s) {
    int64_t began_ns = now_ns(), gap_ns = (int64_t)(1e9 / rate);
    for (int64_t i = 0; i < (int64_t)(for_s * rate); i++) {
        int64_t due_ns = began_ns + i * gap_ns;
        while (step(due_ns)) {}
        Peer *http = free_http();
        if (http) send_request(http, due_ns);
        else skipped++;
    }
}

static void run_latency(void) {
    open_https(connections, port);
    double took_s = open_sockets();
    pause_for(2);
    send_at_rate(warm_s);
    pause_for(1);
    recording = true;
    sent = received = 0;
    printf("{\"measuring\":true}\n");
    fflush(stdout);
    send_at_rate(seconds);
    pause_for(1);
    printf("{\"opened\":%d,\"open_s\":%.2f,\"sent\":%ld,\"received\":%ld,\"skipped\":%ld,\"refused\":%ld,\"lost\":%d,", opened,
           took_s, sent, received, skipped, refused, lost);
    print_sample("socket_ms", &waits);
    printf("}\n");
}

static void run_fanout(void) {
    Sample response_times = {0}, lasts = {0}, totals = {0}, spread = {0};
    open_https(1, port);
    double took_s = open_sockets();
    pause_for(2);
    await_subscriptions();
    await_subscriptions();
    if (publisher) {
        epoll_ctl(poller, EPOLL_CTL_DEL, https->fd, NULL);
        close(https->fd);
        open_https(1, publisher);
    }
    if (!messages) messages = token_count;
    recording = true;
    printf("{\"measuring\":true}\n");
    fflush(stdout);
    for (int i = 0; i < rounds; i++) {
        pause_for(0.3);
        received = first_message_ns = 0;
        int64_t began_ns = now_ns();
        send_request(https, began_ns);
        while (received < messages || https->stage == BUSY)
            if (!step(began_ns + TIMEOUT_NS)) fail("%ld of %d messages arrived", received, messages);
        record(&response_times, (double)(last_response_ns - began_ns) / 1e6);
        record(&lasts, (double)(last_message_ns - last_response_ns) / 1e6);
        record(&totals, (double)(last_message_ns - began_ns) / 1e6);
        record(&spread, (double)(last_message_ns - first_message_ns) / 1e6);
    }
    printf("{\"opened\":%d,\"open_s\":%.2f,\"lost\":%d,\"refused\":%ld,", opened, took_s, lost, refused);
    print_sample("response_ms", &response_times);
    printf(",");
    print_sample("last_after_response_ms", &lasts);
    printf(",");
    print_sample("last_after_request_ms", &totals);
    printf(",");
    print_sample("last_after_first_ms", &spread);
    printf(",");
    print_sample("socket_ms", &waits);
    printf("}\n");
}

static void run_idle(void) {
    double took_s = open_sockets();
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &event);
    printf("{\"opened\":%d,\"open_s\":%.2f}\n", opened, took_s);
    fflush(stdout);
    struct pollfd input_ends = {.fd = STDIN_FILENO, .events = POLLIN};
    while (poll(&input_ends, 1, 0) == 0) step(after(1));
    printf("{\"lost\":%d}\n", lost);
}

int main(int count, char **words) {
    for (int i = 2; i + 1 < count; i += 2) {
        const char *name = words[i], *value = words[i + 1];
        if (!strcmp(name, "--port")) port = atoi(value);
        else if (!strcmp(name, "--publisher")) publisher = atoi(value);
        else if (!strcmp(name, "--messages")) messages = atoi(value);
        else if (!strcmp(name, "--connections")) connections = atoi(value);
        else if (!strcmp(name, "--users")) users = atoi(value);
        else if (!strcmp(name, "--rounds")) rounds = atoi(value);
        else if (!strcmp(name, "--rate")) rate = atof(value);
        else if (!strcmp(name, "--warm")) warm_s = atof(value);
        else if (!strcmp(name, "--seconds")) seconds = atof(value);
        else if (!strcmp(name, "--request")) request_file = value;
        else if (!strcmp(name, "--tokens")) tokens_file = value;
        else if (!strcmp(name, "--subscribe")) subscribe_file = value;
        else fail("unknown option %s", name);
    }
    const char *mode = count > 1 ? words[1] : "";
    poller = epoll_create1(0);
    if (strcmp(mode, "idle")) request = read_template(request_file);
    if (!strcmp(mode, "post")) run_post();
    else if (!strcmp(mode, "latency")) run_latency();
    else if (!strcmp(mode, "fanout")) run_fanout();
    else if (!strcmp(mode, "idle")) run_idle();
    else fail("modes: post, latency, fanout, idle");
    return 0;
}
