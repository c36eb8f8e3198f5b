// Package service holds the use cases that people, programs and agents call:
// who may do what is decided here, and every change leaves an event that names
// its actor. Each use case is one transaction of the store.
//
// It shares nothing with the control loops but the database: what is written
// here wakes them through the store's commit hook. One file per noun.
package service
