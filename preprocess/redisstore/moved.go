package redisstore

import (
	"bytes"
	"context"

	"github.com/redis/go-redis/v9"
)

// movedHook lets the client of a cluster see that a slot has moved when a raw command was told so. What a raw command is told is its value and no error
// to go-redis, which otherwise asks once a minute who holds which slot: for so long each call that touches the slot would fail. With the hook the call that
// was told fails, and the next ones go where the slot is. While a slot is on its way (ASK), calls that touch what has gone ahead fail until it has arrived:
// a pipeline that was half here and half there would not keep its order.
type movedHook struct {
	ofPipelines

	client *redis.ClusterClient
}

var _ redis.Hook = movedHook{}

// ProcessPipelineHook is redis.Hook's.
func (h movedHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			if raw, ok := cmd.(*redis.RawCmd); ok && bytes.HasPrefix(raw.Val(), []byte("-MOVED ")) {
				h.client.ReloadState(ctx)
				break
			}
		}
		return err
	}
}
