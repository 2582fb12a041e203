package redisstore_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"verdict/preprocess/redisstore"
)

// TestBulletinTellsEveryProcessTheSame, and every key of it expires.
func TestBulletinTellsEveryProcessTheSame(t *testing.T) {
	for _, server := range withCluster() {
		t.Run(server.name, func(t *testing.T) {
			ctx, client := t.Context(), dial(t, server.start(t))
			open := func(writer string) *redisstore.Bulletin {
				return redisstore.NewBulletin(redisstore.BulletinConfig{Client: client, Writer: writer, Timeout: patient})
			}
			one, other := open("one"), open("other")
			look := func(want redisstore.Notice) {
				t.Helper()
				for _, b := range []*redisstore.Bulletin{one, other} {
					got, err := b.Look(ctx)
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Fatalf("(-want +got):\n%s", diff)
					}
				}
			}
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			leads := func(b *redisstore.Bulletin, stage redisstore.Stage, call string, want bool) {
				t.Helper()
				got, err := b.Lead(ctx, stage, call, time.Minute)
				if err != nil || got != want {
					t.Fatalf("leading gives %v and %v", got, err)
				}
			}
			look(redisstore.Notice{})
			leads(one, redisstore.Gather, "a", true)
			leads(other, redisstore.Gather, "b", false)
			leads(one, redisstore.Features, "c", true)
			look(redisstore.Notice{Repair: &redisstore.Repair{Leader: "one", Stage: redisstore.Features, Call: "c"}})

			must(one.Tell(ctx, redisstore.Worker{Call: "c"}))
			must(other.Tell(ctx, redisstore.Worker{Marks: []redisstore.Mark{{Topic: "orders", Partition: 1, Next: 5}}}))
			workers, err := one.Workers(ctx, time.Minute)
			must(err)
			calls := map[string]string{}
			for _, w := range workers {
				calls[w.Writer] = w.Call
			}
			if diff := cmp.Diff(map[string]string{"one": "c", "other": ""}, calls); diff != "" {
				t.Errorf("who works on the store (-want +got):\n%s", diff)
			}

			marks := []redisstore.Mark{{Topic: "labels", Next: 7, Millis: 1}, {Topic: "orders", Partition: 1, Next: 5, Millis: 2}}
			must(other.SetMarks(ctx, marks))
			got, err := one.Marks(ctx, append(marks, redisstore.Mark{Topic: "orders", Partition: 2}))
			must(err)
			if diff := cmp.Diff(marks, got); diff != "" {
				t.Errorf("marks (-want +got):\n%s", diff)
			}
			must(one.Declare(ctx, "first"))
			expire(t, client)
			must(one.Leave(ctx))
			look(redisstore.Notice{Whole: "first"})
			must(other.Revoke(ctx))
			look(redisstore.Notice{})

			store := redisstore.New(client, redisstore.Config{Timeout: patient})
			if empty, err := store.Empty(ctx); err != nil || !empty {
				t.Errorf("what processes tell each other counts as state: %v, %v", empty, err)
			}
		})
	}
}

// expire holds that every key has a time to live.
func expire(t *testing.T, client redis.UniversalClient) {
	t.Helper()
	keys := keysOf(t, client, "")
	if len(keys) == 0 {
		t.Error("there are no keys")
	}
	for _, key := range keys {
		if ttl := client.PTTL(t.Context(), key).Val(); ttl <= 0 {
			t.Errorf("%s lives for %v", key, ttl)
		}
	}
}
