package httpapi_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// Each request has its headers sent, and its body withheld.
func TestARefusalDoesNotWaitForTheBody(t *testing.T) {
	for name, test := range map[string]struct {
		headers string
		status  int
	}{
		"another type":         {headers: "Content-Type: text/plain\r\nContent-Length: 300\r\n", status: http.StatusUnsupportedMediaType},
		"another type, chunks": {headers: "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n", status: http.StatusUnsupportedMediaType},
		"too large":            {headers: "Content-Type: application/json\r\nContent-Length: 900000\r\n", status: http.StatusRequestEntityTooLarge},
		"asks first":           {headers: "Content-Type: text/plain\r\nExpect: 100-continue\r\nContent-Length: 300\r\n", status: http.StatusUnsupportedMediaType},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, _ := serve(t, newWorld().cfg)
				conn, err := n.dial(t.Context(), "", "")
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				began := time.Now()
				fmt.Fprintf(conn, "POST /v1/decisions HTTP/1.1\r\nHost: verdict\r\n%s\r\n", test.headers)
				in := bufio.NewReader(conn)
				answer, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer answer.Body.Close()
				if took := time.Since(began); answer.StatusCode != test.status || !answer.Close || took > 50*time.Millisecond {
					t.Errorf("status %d after %v, closes %v", answer.StatusCode, took, answer.Close)
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				if _, err := in.ReadByte(); err == nil {
					t.Error("more came")
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("the connection was closed after %v", took)
				}
			})
		})
	}
}

func TestARefusalWhoseBodyIsThereKeepsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _ := serve(t, newWorld().cfg)
		conn, err := n.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		for range 3 {
			go func() {
				fmt.Fprintf(conn, "POST /v1/decisions HTTP/1.1\r\nHost: verdict\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n")
				time.Sleep(5 * time.Millisecond)
				fmt.Fprint(conn, "hello")
			}()
			answer, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
			if answer.StatusCode != http.StatusUnsupportedMediaType || answer.Close {
				t.Errorf("status %d, closes %v", answer.StatusCode, answer.Close)
			}
			time.Sleep(10 * time.Second) // an idle connection stays
		}
	})
}
