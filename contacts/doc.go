// Package contacts holds what is known of one person: the record, its normalisation, its phonetic codes and its match keys.
package contacts
