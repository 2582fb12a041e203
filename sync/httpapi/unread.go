package httpapi

import (
	"io"
	"net/http"
	"time"
)

// bodySeen is a request's body that knows whether it was read to its end. A request may be answered before that (who may not call, is one too many, sends another
// type), and net/http would first wait for what is left of the body, as long as the read timeout lets a caller withhold it.
type bodySeen struct {
	io.ReadCloser

	request *http.Request
	ended   bool // by the body's end, or by an error
}

// Read notices the end.
func (b *bodySeen) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.ended = true
	}
	return n, err
}

const (
	// unreadWait is what the rest of a body has to come: clients write it right behind the headers, and then the connection can go on.
	unreadWait = 20 * time.Millisecond
	// unreadMost is read of it; to more an end of the connection is cheaper.
	unreadMost = 64 << 10
)

// leave is called before an answer is written. What has not been read of the body is taken if it is there and short; else the connection ends with the answer.
func (b *bodySeen) leave(w http.ResponseWriter) {
	if b.ended {
		return
	}
	conn := http.NewResponseController(w)
	asked := b.request.Header.Get("Expect") != "" // reading would have the client send the body
	if b.request.ContentLength <= unreadMost && !asked && conn.SetReadDeadline(time.Now().Add(unreadWait)) == nil {
		_, err := io.CopyN(io.Discard, b, unreadMost+1)
		if err == io.EOF { //nolint:errorlint // as io.Reader has it
			_ = conn.SetReadDeadline(time.Time{})
			return
		}
	}
	w.Header().Set("Connection", "close")
	_ = conn.SetReadDeadline(time.Now())
}
