package api

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// limitListener holds at most max connections open. Where one more comes, the connection that has been without a request for the
// longest time is closed for it, be it that its handshake or its header does not get on or that it rests between requests: so thousands
// of slow connections keep nobody out who asks for something at once. Only where all connections have a request under way do further
// ones wait in the system's queue.
type limitListener struct {
	net.Listener
	max int

	mu      sync.Mutex
	room    sync.Cond
	waiting list.List // of *limitConn without a request, the longest first
	open    int
	closed  bool
}

func limit(ln net.Listener, max int) *limitListener {
	l := &limitListener{Listener: ln, max: max}
	l.room.L = &l.mu
	return l
}

func (l *limitListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if !l.admit() {
		_ = c.Close()
		return nil, net.ErrClosed
	}
	conn := &limitConn{Conn: c, limit: l}
	l.mu.Lock()
	conn.place = l.waiting.PushBack(conn)
	l.mu.Unlock()
	return conn, nil
}

// admit makes room for one connection and counts it; false if the listener was closed meanwhile.
func (l *limitListener) admit() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.open >= l.max && !l.closed {
		if first := l.waiting.Front(); first != nil {
			c := first.Value.(*limitConn)
			l.mu.Unlock()
			_ = c.Close()
			l.mu.Lock()
			continue
		}
		l.room.Wait()
	}
	if l.closed {
		return false
	}
	l.open++
	return true
}

func (l *limitListener) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.room.Broadcast()
	return l.Listener.Close()
}

// follow is for http.Server.ConnState.
func follow(c net.Conn, state http.ConnState) {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS around it
		c = t.NetConn()
	}
	conn, ok := c.(*limitConn)
	if !ok {
		return
	}
	l := conn.limit
	l.mu.Lock()
	defer l.mu.Unlock()
	if conn.place != nil {
		l.waiting.Remove(conn.place)
		conn.place = nil
	}
	if (state == http.StateIdle || state == http.StateNew) && !conn.gone {
		conn.place = l.waiting.PushBack(conn)
		l.room.Signal()
	}
}

type limitConn struct {
	net.Conn
	limit *limitListener
	place *list.Element // among those without a request
	gone  bool
}

func (c *limitConn) Close() error {
	l := c.limit
	l.mu.Lock()
	if !c.gone {
		c.gone = true
		l.open--
		if c.place != nil {
			l.waiting.Remove(c.place)
			c.place = nil
		}
		l.room.Signal()
	}
	l.mu.Unlock()
	return c.Conn.Close()
}
