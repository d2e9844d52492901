"""Batteries of checks for layers, losses, applications and trainers."""
