// Package jobs is the queue of long work: imports, matchings, deliveries. A job is a sealed record in the store, so that
// it survives a restart, and a handler for its kind does the work.
//
// The nouns: a Job is what is known about a piece of work; a Handler does the work of one kind; a Task is a job in the hands of its
// handler; the Queue keeps the jobs and runs them.
//
// # Once and only once
//
// A handler saves its cursor (Task.Save) in the same transaction as the changes that brought it there. Whatever happens then — the process is
// stopped, or dies — the next start calls the handler again with the last cursor saved, and what was done before it is
// neither lost nor done again. A handler that has saved its last cursor but not yet returned is called once more, and must find
// nothing left to do. What is outside the store (a request to a peer) has to be such that doing it twice does no harm.
//
// # What ends a job
//
// A handler that returns nil is done. Later(d, err) puts the job off; it is tried again after d, with the same cursor. Any other error fails the job for good, and so does a
// panic. When the context of Run ends, the handler's context ends too; its job goes back into the queue, for the next start. Cancel ends
// the handler's context as well; the job is then cancelled, unless the handler finished first. A job during which the process died MaxDeaths times
// without a checkpoint between is failed, so that one bad job does not keep a node from starting.
//
// # Caveats
//
// Params, Cursor, Result, Message and Error are sealed in the file, but Message and Error are shown to people and written to logs: no personal
// data in them. Jobs run in the order they were enqueued, as many at a time as there are workers; nothing else is promised about their order.
// Finished jobs are forgotten after Options.KeepFor, and beyond Options.Keep.
package jobs
