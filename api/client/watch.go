package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"ihyid/api"
)

// How WatchJob waits for a connection that was lost.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = 5 * time.Second
	patience   = 2 * time.Minute // without any answer of the node
)

// WatchJob follows a job to its end and gives it as it then is. change, if not nil, is called
// whenever the job has changed. A connection that breaks is made again, for two minutes without an
// answer: the job goes on by itself when a node comes back.
func (c *Client) WatchJob(ctx context.Context, id string, change func(api.Job)) (api.Job, error) {
	var last api.Job
	event := ""
	pause, waited := firstPause, time.Duration(0)
	for {
		job, err := c.follow(ctx, id, event, func(id string, j api.Job) {
			pause, waited = firstPause, 0
			event, last = id, j
			if change != nil {
				change(j)
			}
		})
		if err == nil && job.State.Final() {
			return job, nil
		}
		if err == nil && last.State.Final() {
			return last, nil // its end had been received when the connection broke
		}
		if ctx.Err() != nil {
			return last, context.Cause(ctx)
		}
		var gone *NotRunning
		var broken *Broken
		var problem *Problem
		switch {
		case err == nil, errors.As(err, &gone), errors.As(err, &broken):
		case errors.As(err, &problem) && problem.Status == http.StatusServiceUnavailable:
		default:
			return last, err
		}
		if waited >= patience {
			if err == nil {
				err = &Broken{Where: c.where, Err: io.ErrUnexpectedEOF}
			}
			return last, fmt.Errorf("job %s is no longer followed: %w", id, err)
		}
		if err := c.sleep(ctx, pause); err != nil {
			return last, err
		}
		waited += pause
		pause = min(2*pause, lastPause)
	}
}

// maxEvent bounds one event: a job with its result.
const maxEvent = 1 << 20

// follow reads one event stream to its end and gives the last job on it. last is the id of the last event of a stream before, or "".
func (c *Client) follow(ctx context.Context, id, last string, change func(id string, j api.Job)) (api.Job, error) {
	var job api.Job
	var headers []string
	if last != "" {
		headers = []string{"Last-Event-ID", last}
	}
	resp, err := c.send(ctx, http.MethodGet, at("jobs", id, "events"), nil, "", nil, headers...)
	if err != nil {
		return job, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 0, 4<<10), maxEvent)
	name, data, event := "", "", ""
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "":
			if name == "job" && data != "" {
				job = api.Job{}
				if err := json.Unmarshal([]byte(data), &job); err != nil {
					return job, fmt.Errorf("the node sent a job that cannot be understood: %w", err)
				}
				change(event, job)
			}
			name, data = "", ""
		case field == "id" && len(value) <= 128:
			event = value
		case field == "event":
			name = value
		case field == "data" && len(data)+len(value) < maxEvent:
			data += value
		}
	}
	if err := lines.Err(); err != nil {
		return job, c.broken(ctx, err)
	}
	return job, nil
}
