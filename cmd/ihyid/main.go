// Command ihyid is the node, its tools and its command line in one binary.
package main

func main() {}
