"""Reading and checking data, where it is not one method's own."""
