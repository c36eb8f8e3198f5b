// Package auth knows who may do what: the tokens that people and programs bear,
// the roles of those tokens, and the one table that says what a role allows.
// It does no I/O; tokens are looked up by package service.
package auth
