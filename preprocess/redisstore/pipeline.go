package redisstore

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// pipeline is commands on their way to Redis, all at once.
type pipeline struct {
	cmds  []redis.Cmder
	args  []any  // of all commands, one after the other
	bytes []byte // members, one after the other
}

// raw queues a command whose reply is read, do one of which only an error matters.
func (p *pipeline) raw(ctx context.Context, args ...any) *redis.RawCmd {
	cmd := redis.NewRawCmd(ctx, p.keepArgs(args)...)
	p.cmds = append(p.cmds, cmd)
	return cmd
}

func (p *pipeline) do(ctx context.Context, args ...any) {
	p.cmds = append(p.cmds, redis.NewIntCmd(ctx, p.keepArgs(args)...))
}

// doWith queues a command of which more arguments follow: exactly that many are to be appended to what it returns.
func (p *pipeline) doWith(ctx context.Context, more int, args ...any) []any {
	at := len(p.args)
	p.args = append(p.args, args...)
	p.args = append(p.args, make([]any, more)...)
	all := p.args[at:len(p.args):len(p.args)]
	p.cmds = append(p.cmds, redis.NewIntCmd(ctx, all...))
	return all[:len(args)]
}

// keepArgs moves arguments into the array shared by all commands; the caller's can then stay on the stack.
func (p *pipeline) keepArgs(args []any) []any {
	at := len(p.args)
	p.args = append(p.args, args...)
	return p.args[at:len(p.args):len(p.args)]
}

// member cuts what was appended to bytes since at.
func (p *pipeline) member(at int) []byte { return p.bytes[at:len(p.bytes):len(p.bytes)] }

// next begins another pipeline, when the one before is done. Its arguments stay as they are.
func (p *pipeline) next() {
	clear(p.cmds)
	p.cmds = p.cmds[:0]
}
