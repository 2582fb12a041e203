package redisstore

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// errForeign is of a reply that belongs to another pipeline.
var errForeign = errors.New("the reply to another pipeline came: the connection is dropped")

// tokenHook begins each pipeline with an ECHO of a number that no other pipeline of the process has. Replies carry nothing that says what they answer, so
// where a client or a proxy once loses count, every later reply on that connection is the answer to another question: another customer's windows, and no error.
// With the token the pipeline fails, and the connection is not used again. It costs one command for a pipeline.
type tokenHook struct {
	ofPipelines

	last *atomic.Uint64
}

var _ redis.Hook = tokenHook{}

// ProcessPipelineHook is redis.Hook's.
func (h tokenHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if setsUp(cmds) {
			return next(ctx, cmds)
		}
		text := strconv.FormatUint(h.last.Add(1), 10)
		all := make([]redis.Cmder, 0, len(cmds)+3) // room for what other hooks add
		all = append(all, redis.NewRawWriteToCmd(ctx, newToken(text), "echo", text))
		return next(ctx, append(all, cmds...))
	}
}

// setsUp says whether a pipeline is one that makes a connection ready: the client sends it by itself, before anything else may be asked for.
func setsUp(cmds []redis.Cmder) bool {
	if len(cmds) == 0 {
		return true
	}
	switch cmds[0].Name() {
	case "hello", "auth", "select", "client", "readonly", "multi", "watch":
		return true
	default:
		return false
	}
}

// token takes the reply to an ECHO, piece by piece, and refuses any other.
type token struct {
	want []byte
	seen bool // something came
	told bool // it is an error of Redis's own, which the other commands of the pipeline are told as well
}

func newToken(text string) *token {
	return &token{want: []byte("$" + strconv.Itoa(len(text)) + "\r\n" + text + "\r\n")}
}

// Write is io.Writer's. Its error ends the connection.
func (t *token) Write(p []byte) (int, error) {
	if !t.seen && len(p) > 0 {
		t.seen, t.told = true, p[0] == '-'
	}
	if t.told {
		return len(p), nil
	}
	rest, ok := bytes.CutPrefix(t.want, p)
	if !ok {
		return 0, errForeign
	}
	t.want = rest
	return len(p), nil
}
