package redisstore

import (
	"errors"
	"strconv"
	"strings"
	"unsafe"

	"github.com/redis/go-redis/v9"
)

// Replies of the commands that read are taken raw and parsed here. go-redis would make a string, an interface and a slice entry of each member; this
// way a whole reply is one string, and ids are parts of it.

var errReply = errors.New("an unexpected reply")

// replyError is what Redis itself said: OOM, READONLY, MOVED, WRONGTYPE and so on.
type replyError string

func (e replyError) Error() string { return string(e) }

// RedisError marks the error as redis.Error, as those that go-redis makes.
func (e replyError) RedisError() {}

var _ redis.Error = replyError("")

// bulk reads the reply of a GET: a string, or nothing.
func bulk(cmd *redis.RawCmd) (value string, found bool, err error) {
	r, err := newReply(cmd)
	if err != nil {
		return "", false, err
	}
	return r.next()
}

// array reads the head of an array or a set; its members are then had by next.
func array(cmd *redis.RawCmd) (r reply, n int, err error) {
	r, err = newReply(cmd)
	if err != nil {
		return r, 0, err
	}
	kind, n, err := r.head()
	if err != nil {
		return r, 0, err
	}
	if kind != '*' && kind != '~' || n < 0 {
		return r, 0, errReply
	}
	return r, n, nil
}

// reply is what is left of a raw reply.
type reply struct{ rest string }

func newReply(cmd *redis.RawCmd) (reply, error) {
	raw, err := cmd.Result()
	if err != nil {
		return reply{}, err
	}
	if len(raw) > 0 && raw[0] == '-' {
		return reply{}, replyError(strings.TrimRight(string(raw[1:]), "\r\n"))
	}
	// Nobody writes to the command's bytes any more, so they need not be copied: they are most of what a call holds.
	return reply{unsafe.String(unsafe.SliceData(raw), len(raw))}, nil //nolint:gosec // G103: above
}

// head reads a line such as "$12" or "*3"; "_" and "$-1" are nothing, with length -1.
func (r *reply) head() (kind byte, n int, err error) {
	end := strings.IndexByte(r.rest, '\r')
	if end < 1 || len(r.rest) < end+2 {
		return 0, 0, errReply
	}
	line := r.rest[:end]
	r.rest = r.rest[end+2:]
	if line[0] == '_' {
		return '$', -1, nil
	}
	if len(line) == 2 && line[1] >= '0' && line[1] <= '9' {
		return line[0], int(line[1] - '0'), nil
	}
	n, err = strconv.Atoi(line[1:])
	if err != nil {
		return 0, 0, errReply
	}
	return line[0], n, nil
}

// next reads one string.
func (r *reply) next() (value string, found bool, err error) {
	// As nearly all of them come: "$", one to three digits, CR LF.
	if s := r.rest; len(s) > 6 && s[0] == '$' {
		n, at := 0, 1
		for ; at < 4 && s[at]-'0' <= 9; at++ {
			n = 10*n + int(s[at]-'0')
		}
		if from := at + 2; at > 1 && s[at] == '\r' && len(s)-from >= n+2 {
			r.rest = s[from+n+2:]
			return s[from : from+n], true, nil
		}
	}
	kind, n, err := r.head()
	if err != nil {
		return "", false, err
	}
	if kind == '$' && n == -1 {
		return "", false, nil
	}
	if kind != '$' || n < 0 || n+2 > len(r.rest) {
		return "", false, errReply
	}
	value, r.rest = r.rest[:n], r.rest[n+2:]
	return value, true, nil
}
