// Package api is the REST interface: routes, their OpenAPI document, the event
// stream and the plain pages. It translates between HTTP and package service
// and decides nothing. One file per resource.
//
// Errors are problem details (RFC 9457) with the code and the field errors of
// package fleet. Request bodies are decoded strictly by package settings, so
// that everything that is wrong with one is reported at once.
package api
