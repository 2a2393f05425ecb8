// Package register keeps the node's own contacts: the list of people that the organisation serves.
//
// A contact has a number, given when it is registered and never used again. Its record is sealed by package store; it is found
// again by keyed hashes of its match digests under the register's profile, of its external id, and of the whole record, so
// that the file tells nobody who is in it.
//
// An import is a job: the uploaded list is kept sealed beside the store until it has been read, and every batch of rows
// is one transaction together with the place in the list up to which it goes, so that a process that dies loses
// and doubles nothing. Every row is answered: created, duplicate of a contact that is there with exactly the same
// content, or rejected with line, column and reason. A contact that agrees with another in match keys
// only is created all the same, and the pair is kept for a person to decide: a collision of codes never refuses a person.
//
// Nothing here knows of other nodes.
package register
